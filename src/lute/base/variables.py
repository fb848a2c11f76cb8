"""The environment variables that steer `lute` itself: the closed list, from which the page of the reference is made.

    python docs/reference_tables.py --write

Where one is read or set its name stands as text; a test finds a name that is not here.
"""

from __future__ import annotations

from enum import Enum


class Variable(Enum):
    """A control variable: who sets it, and what it means, in Markdown."""

    LUTE_CONFIGPATH = ("you; `lute` for the Task", "the YAML file, if `-c` is not given")
    LUTE_PLUGINS = ("you", "plug-ins to load before all others, separated by `:`")
    LUTE_WORK_DIR = ("you", "the work folder, if the header does not give one")
    LUTE_DATABASE = (
        "you",
        "the record, a path or the URL of a [PostgreSQL database](../how-to/postgresql.md), if neither `--db` "
        "nor the header says one",
    )
    LUTE_PATH = ("you", "templates are also looked for in `$LUTE_PATH/config/templates`")
    LUTE_USE_TCP = ("you", "`1`: a `SocketCommunicator` uses TCP instead of a Unix socket")
    LUTE_EXECUTOR_HOST = (
        "you; `lute` for the Task",
        "address that the Executor listens on with TCP; `127.0.0.1` if not given",
    )
    LUTE_ELOG_URL = ("you", "address of [the eLog](elog.md)")
    LUTE_ELOG_LOGIN = ("you", "how to log in to it: `basic`, `token`, `kerberos` or `none`")
    LUTE_ELOG_USER = ("you", "user for `basic`")
    LUTE_ELOG_PASSWORD = ("you", "password for `basic`")
    LUTE_ELOG_TOKEN = ("you", "token for `token`")
    LUTE_ELOG_LOGIN_FILE = ("you", "file whose first line is the password or the token, instead of the variable")
    LUTE_ELOG_CA_FILE = (
        "you",
        "file with the certificates that the eLog's is checked against, instead of the usual ones",
    )
    LUTE_AIRFLOW_URL = ("you", "address of [Airflow](../how-to/airflow.md), for `lute workflow run --on airflow`")
    LUTE_AIRFLOW_TOKEN = ("you", "token to log in to it")
    LUTE_AIRFLOW_USER = ("you", "user, if there is no token")
    LUTE_AIRFLOW_PASSWORD = ("you", "that user's password")
    LUTE_WORKFLOW = ("you", "id or name of the workflow that a run is a part of, kept in the record")
    LUTE_WORKFLOW_STEP = ("you", "name of the step that a run is, kept in the record")
    LUTE_LAUNCHER = (
        "you",
        "how the [launcher](../decisions/0001-launcher.md) is started: `fork` or `exec`; chosen by itself if not given",
    )
    LUTE_DEBUG_EXIT_AT_YAML = (
        "you",
        "set: print a Task's parameters after substitution and before validation, and exit with 0",
    )
    LUTE_DEBUG_BEFORE_TPP_EXEC = ("you", "set: stop just before a program would be started; the run is CANCELLED")
    LUTE_SCHEDULER = (
        "you",
        "the batch system that jobs are submitted to: `slurm`, which it is if not given, or a module that implements"
        " `lute.batch.scheduler.Scheduler`",
    )
    LUTE_SOCKET = (
        "`lute` for the Task",
        "Unix socket to connect to. If you set it, the Executor listens there, unless the path exists",
    )
    LUTE_PORT = ("`lute` for the Task", "TCP port to connect to")
    LUTE_KEY_FILE = ("`lute` for the Task", "file with the run's key")
    LUTE_CHANNEL_FD = ("`lute` for the Task", "descriptor of the inherited channel")
    LUTE_SUBMITTED = ("`lute submit` for its job", "the id of the run that waits for the job")
    LUTE_RANK_LOG = ("`lute` for MPI ranks", "where their output goes")
    LUTE_RUN_ID = ("`lute` for the Task", "the run's id; a run's processes are found by it")

    def __init__(self, set_by: str, meaning: str) -> None:
        self.set_by, self.meaning = set_by, meaning


CONTROL_VARIABLES = frozenset(variable.name for variable in Variable)
"""Their names. They never become the value of a parameter."""
