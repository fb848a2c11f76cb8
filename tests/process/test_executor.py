"""Executors from Python: environments, other Pythons, tasklets, results, outputs, MPI, and how programs start."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from conftest import Outcome, Project
from process.helpers import make_bare_python, other_pythons, pids_with, python

# Not a file in tests/plugins: nearly every test puts lines of its own behind it, which use these imports.
PLUGIN = """
    import os, sys
    from pathlib import Path
    from typing import Annotated
    from pydantic import BaseModel
    from lute import (Executor, Field, Flag, IsResult, MPIExecutor, Output, Positional, Task, TaskParameters,
                      ThirdPartyParameters, ThirdPartyTask)

    class EchoParameters(TaskParameters):
        class Inner(BaseModel):
            deep: int = 4

        fail: str = ""
        number: int = 5
        words: str = "two words"
        inner: Inner = Inner()

    class Echo(Task):
        def _run(self):
            if self._task_parameters.fail:
                raise ValueError(self._task_parameters.fail)
            self._result.payload = {name: os.environ.get(name) for name in os.environ if name.startswith("SEEN_")}
            self._result.payload["PATH"] = os.environ["PATH"]
            self._result.summary = "own summary"

    class PyParameters(ThirdPartyParameters):
        executable: str = sys.executable
        command: str = Field("-c", flag_type="")
        code: str = Field(flag_type="")

    class OwnPyParameters(PyParameters):
        pass

    class OwnPy(ThirdPartyTask):
        pass
"""

HEAD = """
    import json, os, sys
    from lute import DescribedAnalysis, Executor, MPIExecutor, TaskFailed, TaskStatus
    import tasks
"""


@pytest.fixture
def lab(project: Project) -> Project:
    """A project with a Task in Python and programs."""
    project.write("tasks.py", PLUGIN)
    project.config()
    return project


def api(lab: Project, code: str, head: str = HEAD, **keywords: Any) -> Any:
    """Runs a script that uses Executors from Python. Returns what it printed last, as JSON."""
    env = {"LUTE_CONFIGPATH": str(lab.folder / "config.yaml"), **keywords.pop("env", {})}
    outcome = python(lab, dedent(head) + dedent(code), env=env, **keywords)
    assert outcome.code == 0, outcome
    return json.loads(outcome.out.splitlines()[-1])


def add(lab: Project, text: str) -> None:
    """Adds to the plug-in."""
    lab.write("tasks.py", dedent(PLUGIN) + dedent(text))


def code(text: str) -> str:
    """Python that is one argument of a program: without a space, since a text with one is split."""
    return text.replace(" ", "\t")


# ------------------------------------------------------------------------------------- execute_task


def test_constructing_opens_nothing(lab: Project) -> None:
    """A4: constructing an Executor opens nothing: no descriptor, file, thread or process."""
    found = api(
        lab,
        """
        import threading
        def state():
            return [sorted(os.listdir("/proc/self/fd")), sorted(os.listdir(".")), threading.active_count(),
                    open("/proc/self/task/%d/children" % os.getpid()).read()]

        before = state()
        kept = [Executor("Echo"), Executor("NoSuchTask"), MPIExecutor("Echo", ranks=2), MPIExecutor("Echo", reserve_core=True)]
        kept[0].update_environment({"A": "1"})
        kept[0].shell_source("/no/such/script")
        kept[0].interpreter("/no/such/python")
        kept[0].add_tasklet(print, ["{{ number }}"])
        print(json.dumps([before, state()]))
        """,
    )
    assert found[0] == found[1]


def test_execute_task_returns_what_is_known(lab: Project) -> None:
    """A4: `execute_task()` takes `$LUTE_CONFIGPATH` and returns the DescribedAnalysis; a path may be given."""
    found = api(
        lab,
        """
        executor = Executor("Echo", poll_interval=0.25)
        analysis = executor.execute_task()
        again = executor.execute_task(config_path="config.yaml")
        print(json.dumps([isinstance(analysis, DescribedAnalysis), analysis.task_result.task_status.name,
                          analysis.task_result.task_name, analysis.task_result.summary, analysis.poll_interval,
                          analysis.task_parameters.inner.deep, "PATH" in analysis.task_env,
                          all(isinstance(text, str) for text in analysis.communicator_desc),
                          again is not analysis, again.task_result.task_status.name]))
        """,
    )
    assert found == [True, "COMPLETED", "Echo", "own summary", 0.25, 4, True, True, True, "COMPLETED"]


def test_a_failure_is_raised_with_its_analysis(lab: Project) -> None:
    """A4, point 6: an ending but COMPLETED raises TaskFailed, which carries the analysis; Python goes on."""
    lab.config("Echo: {fail: no beam}")
    found = api(
        lab,
        """
        try:
            Executor("Echo").execute_task()
        except TaskFailed as error:
            analysis = error.analysis
            print(json.dumps([analysis.task_result.task_status.name, analysis.task_result.summary, str(error)]))
        """,
    )
    assert found[:2] == ["FAILED", "ValueError: no beam"]
    assert "Echo" in found[2]
    assert "no beam" in found[2]


@pytest.mark.parametrize(
    ("task", "yaml", "env"),
    [
        ("Echo", "Echo: {number: many}", {}),
        ("NoSuchTask", "{}", {}),
        ("Echo", "{}", {"LUTE_CONFIGPATH": ""}),
        ("Echo", "{}", {"LUTE_CONFIGPATH": "/no/such/file.yaml"}),
    ],
)
def test_what_cannot_be_started_is_raised_too(lab: Project, task: str, yaml: str, env: dict[str, str]) -> None:
    """Point 6: from Python nothing exits, also when the YAML is wrong; nothing is recorded as run."""
    lab.config(yaml)
    found = api(
        lab,
        f"""
        from lute import LuteError
        try:
            Executor({task!r}).execute_task()
        except TaskFailed:
            print('"started"')
        except LuteError as error:
            print(json.dumps(str(error)))
        """,
        env=env,
    )
    assert found != "started"
    assert len(found) > 10
    assert not (lab.folder / "lute.db").exists()


def test_execute_task_works_in_a_thread(lab: Project) -> None:
    """Point 6: a notebook or server calls it where it likes: in several threads at once."""
    found = api(
        lab,
        """
        import threading
        found = []
        def work():
            found.append(Executor("Echo").execute_task().task_result.task_status.name)
        threads = [threading.Thread(target=work) for _ in range(3)]
        [thread.start() for thread in threads]
        [thread.join(60) for thread in threads]
        print(json.dumps(found))
        """,
    )
    assert found == ["COMPLETED"] * 3


def test_a_run_leaves_nothing_open_behind(lab: Project) -> None:
    """A4: after a run the process has the descriptors, signal handlers, working directory and variables of before."""
    found = api(
        lab,
        """
        import gc, signal
        def state():
            gc.collect()
            return [len(os.listdir("/proc/self/fd")), os.getcwd(), sorted(os.environ), str(signal.getsignal(signal.SIGTERM)),
                    str(signal.getsignal(signal.SIGINT)), signal.getitimer(signal.ITIMER_REAL)[0],
                    sorted(signal.pthread_sigmask(signal.SIG_BLOCK, []))]
        executor = Executor("Echo")
        executor.execute_task()
        before = state()
        for _ in range(5):
            executor.execute_task()
        print(json.dumps([before, state()]))
        """,
    )
    assert found[0] == found[1]


# ------------------------------------------------------------------------------------- environment


def payload_with(lab: Project, setting: str, **keywords: Any) -> Any:
    """Runs Echo with a setting of its Executor. Returns its payload, or the reason why it failed."""
    return api(
        lab,
        f"""
        executor = Executor("Echo")
        {setting}
        try:
            print(json.dumps(executor.execute_task().task_result.payload))
        except TaskFailed as error:
            print(json.dumps(str(error)))
        """,
        **keywords,
    )


@pytest.mark.parametrize(
    ("how", "wanted"),
    [
        ("", "/new/a:/new/b:/bin:/usr/bin"),
        (', "prepend"', "/new/a:/new/b:/bin:/usr/bin"),
        (', update_path="append"', "/bin:/usr/bin:/new/a:/new/b"),
        (', update_path="overwrite"', "/new/a:/new/b"),
    ],
)
def test_update_environment_merges_path_as_told(lab: Project, how: str, wanted: str) -> None:
    """A4: `update_environment` replaces variables; PATH is prepended, appended or overwritten."""
    values = '{"PATH": "/new/a:/new/b", "SEEN_OLD": "new", "SEEN_ODD": "it\'s a = ; $HOME", "SEEN_EMPTY": ""}'
    env = {"PATH": "/bin:/usr/bin", "SEEN_OLD": "old", "SEEN_KEPT": "kept"}
    found = payload_with(lab, f"executor.update_environment({values}{how})", env=env)
    assert found == {
        "PATH": wanted,
        "SEEN_OLD": "new",
        "SEEN_KEPT": "kept",
        "SEEN_ODD": "it's a = ; $HOME",
        "SEEN_EMPTY": "",
    }


@pytest.mark.parametrize("how", ["replace", "", "PREPEND "])
def test_any_other_update_path_is_refused(how: str) -> None:
    """A4: `update_path` is one of three."""
    from lute import Executor

    with pytest.raises(ValueError, match="overwrite"):
        Executor("Test").update_environment({"A": "1"}, update_path=how)


def test_an_environment_belongs_to_one_executor(lab: Project) -> None:
    """A4, DESIGN: nothing is shared between Executors, nor with the process they are in."""
    found = api(
        lab,
        """
        one, two = Executor("Echo"), Executor("Echo")
        one.update_environment({"SEEN_ONE": "1"})
        payloads = [sorted(executor.execute_task().task_result.payload) for executor in (one, two)]
        print(json.dumps([payloads, "SEEN_ONE" in os.environ]))
        """,
    )
    assert found == [[["PATH", "SEEN_ONE"], ["PATH"]], False]


def test_shell_source_gives_what_the_script_leaves(lab: Project) -> None:
    """A4: the Task runs in the environment that the script leaves; a path with spaces, odd values, unset and functions too."""
    script = lab.write(
        "a folder/it's setup.sh",
        """
        echo "chatter on stdout"; echo "chatter on stderr" >&2
        export SEEN_PLAIN=1
        export SEEN_ODD=$'two\\nlines \\'and\\' "quotes" = \u00e9'
        export SEEN_OLD="$SEEN_OLD then new"
        unset SEEN_GONE
        SEEN_NOT_EXPORTED=1
        function helper() { echo help; }
        export -f helper
        export PATH="/from/script:$PATH"
        """,
    )
    env = {"SEEN_OLD": "old", "SEEN_GONE": "x", "PATH": os.environ["PATH"]}
    found = payload_with(lab, f"executor.shell_source({str(script)!r})", env=env)
    assert found.pop("PATH") == "/from/script:" + os.environ["PATH"]
    assert found == {"SEEN_PLAIN": "1", "SEEN_ODD": "two\nlines 'and' \"quotes\" = \u00e9", "SEEN_OLD": "old then new"}


@pytest.mark.parametrize("script", ["echo broken here >&2; return 3", "exit 4", "set -e\nfalse\n", None])
def test_a_script_that_fails_is_told(lab: Project, script: str | None) -> None:
    """A4, B1: a script that fails or is missing is an ending with a reason that names it; nothing runs without it."""
    path = lab.folder / "set up.sh"
    if script is not None:
        path.write_text(script + "\n")
    add(
        lab,
        f"""
        Sourced = Executor("Echo")
        Sourced.shell_source({str(path)!r})
    """,
    )
    lab.config()
    found = lab.run_task("Sourced")
    assert (found["returncode"], found["status"]) == (1, "FAILED")
    assert "set up.sh" in found["reason"]
    assert found["payload"] in (None, "")
    if script and "broken" in script:
        assert "broken here" in found["reason"] + Path(found["log"]).read_text() + found["stderr"]


def test_a_script_runs_a_program_too(lab: Project) -> None:
    """A4: also a program is searched on the PATH that the script leaves."""
    tool = lab.write("tools/my-tool", "#!/bin/sh\necho tool $SEEN_X\n")
    tool.chmod(0o755)
    lab.write("setup.sh", f"export PATH={tool.parent}:$PATH SEEN_X=5\n")
    add(
        lab,
        """
        class ToolParameters(ThirdPartyParameters):
            executable: str = "my-tool"

        class OwnToolParameters(ToolParameters):
            pass

        class OwnTool(ThirdPartyTask):
            pass

        Tool, OwnTooler = Executor("Tool"), Executor("OwnTool")
        Tool.shell_source("setup.sh")
        OwnTooler.shell_source("setup.sh")
    """,
    )
    lab.config()
    for name in ("Tool", "OwnTooler"):
        found = lab.run_task(name)
        assert found["status"] == "COMPLETED", found
        assert Path(found["log"]).read_text().splitlines()[-1] == "tool 5"
        assert found["environment"]["SEEN_X"] == "5"


def test_environment_in_the_record_is_what_was_changed(lab: Project) -> None:
    """B, B1: `environment` is what was changed, and only that."""
    add(
        lab,
        """
        Changer = Executor("Echo")
        Changer.update_environment({"SEEN_NEW": "n", "SEEN_SAME": "s"})
    """,
    )
    lab.config()
    found = lab.run_task("Changer", env={"SEEN_SAME": "s", "SEEN_OTHER": "o"})
    assert found["environment"].get("SEEN_NEW") == "n"
    assert "SEEN_OTHER" not in found["environment"]
    assert "HOME" not in found["environment"]


# ------------------------------------------------------------------------------------- interpreter

FAR_MODEL = """
    class FarParameters(TaskParameters):
        class Config:
            task_module = "far_task"
            impl_schemas = "far_schema"

        class Inner(BaseModel):
            class Deeper(BaseModel):
                values: list[float] = [1.5, 0.0]

            name: str = "caf\\u00e9"
            deeper: Deeper = Deeper()

        path: Path = Path("/a b/c")
        maybe: int | None = None
        inner: Inner = Inner()
        several: list[Inner] = [Inner(name="first"), Inner()]
        mapping: dict[str, int] = {"a b": 0}
        pair: tuple[int, str] = (1, "x")
        big: int = 2**70
        fail: bool = False
        wait: bool = False

    Far = Executor("Far")
    Far.interpreter({python!r})
"""

FAR_TASK = """
    import os
    import sys
    import time

    from lute.tasks import ElogSummaryPlots, Message, Task


    class Far(Task):
        def _run(self):
            params = self._task_parameters
            print("from", sys.executable, flush=True)
            self._report_to_executor(Message(contents="a text"))
            self._report_to_executor(Message(contents={"a": [1, 2.5, None], "b": b"bytes"}))
            if params.fail:
                raise ValueError("far away")
            while params.wait:
                time.sleep(0.01)
            self._result.summary = {"n": 5}
            self._result.payload = {
                "version": list(sys.version_info[:2]),
                "path": str(params.path / "d"),
                "maybe": params.maybe,
                "inner": [params.inner.name, params.inner.deeper.values],
                "several": [item.name for item in params.several],
                "mapping": params.mapping,
                "pair": list(params.pair),
                "big": params.big == 2**70,
                "header": [params.lute_config.experiment, params.lute_config.run, params.lute_config.work_dir],
                "schemas": params.Config.impl_schemas,
                "name": self.name,
                "modules": sorted(set(sys.modules) & {"pydantic", "yaml", "jinja2", "sqlite3", "numpy"}),
            }

        def clean_up_timeout(self):
            print("clean up", flush=True)
"""


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python that has nothing installed."""
    return make_bare_python(tmp_path_factory.mktemp("bare"))


def far(lab: Project, executable: str, yaml: str = "{}") -> dict[str, Any]:
    """Runs a Task under another Python."""
    add(lab, FAR_MODEL.replace("{python!r}", repr(executable)))
    lab.write("far_task.py", FAR_TASK)
    config = lab.config(yaml, "clean_up_grace: 2\nterminate_grace: 1")
    if "wait" in yaml:
        config.write_text(config.read_text().replace("task_timeout: 60", "task_timeout: 1.5"))
    return lab.run_task("Far")


def check_far(lab: Project, found: dict[str, Any], executable: str) -> None:
    """Checks what the Task saw of its parameters."""
    assert (found["returncode"], found["status"], found["summary"]) == (0, "COMPLETED", "n: 5"), found
    payload = found["payload"]
    payload.pop("version")
    assert payload == {
        "path": "/a b/c/d",
        "maybe": None,
        "inner": ["caf\u00e9", [1.5, 0.0]],
        "several": ["first", "caf\u00e9"],
        "mapping": {"a b": 0},
        "pair": [1, "x"],
        "big": True,
        "header": ["exp1", 7, str(lab.folder)],
        "schemas": "far_schema",
        "name": "Far",
        "modules": [],
    }
    assert found["impl_schemas"] == "far_schema"
    assert found["command"][0] == executable
    log = Path(found["log"]).read_text().splitlines()
    assert log[0].startswith("from ")
    assert log[1] == "a text"


def test_a_task_runs_under_a_python_with_nothing_installed(lab: Project, bare_python: str) -> None:
    """A4: under another Python the Task sees its validated parameters with the same attribute access."""
    check_far(lab, far(lab, bare_python), bare_python)


def test_a_task_runs_under_older_pythons(lab: Project, bare_python: str) -> None:
    """A4: 3.9 or newer: under every one found here, besides the bare one."""
    for executable in [bare_python, *other_pythons()]:
        check_far(lab, far(lab, executable), executable)


def test_the_parent_never_imports_the_far_module(lab: Project, bare_python: str) -> None:
    """A4: the parent needs the model and the name; a module that only the other Python can import is no harm."""
    add(lab, FAR_MODEL.replace("{python!r}", repr(bare_python)))
    guard = f"""
        import sys
        if sys.prefix != {str(Path(bare_python).parents[1])!r}:
            open("imported by a stranger", "w").close()
            raise ImportError("not here")
    """
    lab.write("far_task.py", dedent(guard) + dedent(FAR_TASK))
    lab.config()
    found = lab.run_task("Far")
    assert (found["returncode"], found["status"]) == (0, "COMPLETED")
    assert not (lab.folder / "imported by a stranger").exists()


def test_a_far_task_that_fails(lab: Project, bare_python: str) -> None:
    """A2, A4: an exception under another Python is FAILED with traceback and last line all the same."""
    found = far(lab, bare_python, "Far: {fail: true}")
    assert (found["returncode"], found["status"], found["summary"]) == (1, "FAILED", "ValueError: far away")
    assert "Traceback" in Path(found["log"]).read_text()


def test_a_far_task_whose_time_is_over(lab: Project, bare_python: str) -> None:
    """A2, A4: a timeout under another Python calls `clean_up_timeout()`."""
    found = far(lab, bare_python, "Far: {wait: true}")
    assert (found["returncode"], found["status"]) == (124, "TIMEDOUT")
    assert Path(found["log"]).read_text().count("clean up\n") == 1


def test_a_python_that_is_missing_is_told(lab: Project) -> None:
    """B1: a Python that is not there is an ending with its reason."""
    found = far(lab, "/no/such/python3")
    assert (found["returncode"], found["status"]) == (1, "FAILED")
    assert "/no/such/python3" in found["reason"]


def test_a_model_without_a_task_module_is_refused(lab: Project, bare_python: str) -> None:
    """A4: a Task for another Python is in a module of its own, named by the model; else nothing is started."""
    add(
        lab,
        f"""
        NotFar = Executor("Echo")
        NotFar.interpreter({bare_python!r})
    """,
    )
    lab.config()
    outcome = lab.lute("run", "NotFar", "-c", "config.yaml")
    assert outcome.code == 2
    assert "task_module" in outcome.err


# ------------------------------------------------------------------------------------------ tasklets

TASKLETS = """
    def note(*args):
        with open("notes", "a") as file:
            file.write(repr(args) + "\\n")

    def give(*args):
        return {"given": list(args)}

    def text(*args):
        return "tasklet text"

    def broken(*args):
        raise RuntimeError("the tasklet is broken")

    class NotingParameters(EchoParameters):
        pass

    class Noting(Task):
        def _run(self):
            note("the task")
            self._result.payload = {"own": 1}
            self._result.summary = "own summary"
            if self._task_parameters.fail:
                raise ValueError(self._task_parameters.fail)

    T = Executor("Noting")
"""


def with_tasklets(lab: Project, settings: str, yaml: str = "{}", *arguments: str) -> Outcome:
    """Runs a Task with tasklets."""
    add(lab, dedent(TASKLETS) + dedent(settings))
    lab.config(yaml)
    return lab.lute("run", "T", "-c", "config.yaml", "--json", *arguments)


def notes(lab: Project) -> list[Any]:
    """What the tasklets and the Task noted."""
    path = lab.folder / "notes"
    return [eval(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_tasklets_run_before_and_after_with_values_filled_in(lab: Project) -> None:
    """A4: tasklets before and after the Task, in order; `{{ param }}` in args is replaced by the parameter's value."""
    outcome = with_tasklets(
        lab,
        """
        T.add_tasklet(note, ["late", "run {{ lute_config.run }} of {{ lute_config.experiment }}", "{{ inner.deep }}"])
        T.add_tasklet(note, ["{{ number }}", "{{ number }} and {{ words }}", 7, None, "{{ fail }}"], when="before")
        T.add_tasklet(note, ("second",), when="before")
        T.add_tasklet(note, ["last"], when="after")
        """,
        "Noting: {number: 12, words: 'a  b'}",
    )
    assert (outcome.code, outcome.json["payload"]) == (0, {"own": 1})
    first, second, task, late, last = notes(lab)
    assert [str(value) for value in first] == ["12", "12 and a  b", "7", "None", ""]
    assert (second, task, last) == (("second",), ("the task",), ("last",))
    assert [str(value) for value in late] == ["late", "run 7 of exp1", "4"]


def test_a_tasklet_may_give_result_and_summary(lab: Project) -> None:
    """A4: with `set_result` and `set_summary` what a tasklet returns reaches payload and summary."""
    outcome = with_tasklets(
        lab,
        """
        T.add_tasklet(give, ["{{ number }}"], when="after", set_result=True)
        T.add_tasklet(text, [], when="after", set_summary=True)
        T.add_tasklet(give, ["not kept"], when="after")
        """,
    )
    assert outcome.code == 0
    assert '"given"' in json.dumps(outcome.json["payload"])
    assert "5" in json.dumps(outcome.json["payload"])
    assert "not kept" not in json.dumps(outcome.json["payload"])
    assert "tasklet text" in str(outcome.json["summary"])


def test_a_tasklet_that_fails_before_is_told(lab: Project) -> None:
    """A4, STYLE: a tasklet that fails before its Task is never hidden: neither from who runs it nor in the log."""
    outcome = with_tasklets(lab, 'T.add_tasklet(broken, [], when="before")')
    assert "the tasklet is broken" in outcome.err
    assert "the tasklet is broken" in Path(outcome.json["log"]).read_text()


def test_a_tasklet_that_fails_afterwards_is_told(lab: Project) -> None:
    """A4, STYLE: a tasklet that fails after its Task is never hidden."""
    outcome = with_tasklets(lab, 'T.add_tasklet(broken, [], when="after")\nT.add_tasklet(note, ["next"])')
    assert notes(lab)[0] == ("the task",)
    assert outcome.json["payload"] == {"own": 1}
    assert "the tasklet is broken" in outcome.err + outcome.json["reason"]


@pytest.mark.parametrize("when", ["during", "", "AFTER!"])
def test_a_tasklet_runs_before_or_after(when: str) -> None:
    """A4: `when` is "before" or "after"."""
    from lute import Executor

    with pytest.raises(ValueError, match="before"):
        Executor("Test").add_tasklet(print, [], when=when)


def test_a_tasklet_that_names_no_parameter_starts_nothing(lab: Project) -> None:
    """A4, B1: the parent validates before it starts anything, the arguments of tasklets too."""
    outcome = with_tasklets(lab, 'T.add_tasklet(note, ["{{ no_such_thing }}"])')
    assert outcome.code == 2
    assert "no_such_thing" in outcome.err + outcome.out
    assert notes(lab) == []


# --------------------------------------------------------------------------- results of programs

PROGRAMS = """
    class ResultParameters(ThirdPartyParameters):
        class Config(ThirdPartyParameters.Config):
            set_result = {set_result}
            {more}

        executable: str = "true"
        out_file: {kind}
        other: str = Field("not this", flag_type="--")

    Program = Executor("Result")
"""


@pytest.mark.parametrize(
    ("set_result", "kind", "more", "wanted"),
    [
        (True, "Annotated[str, Flag('-o'), IsResult()] = 'made.txt'", "", ("made.txt", None)),
        (True, "str = Field('made.txt', flag_type='-', is_result=True)", "impl_schemas = 'a;b'", ("made.txt", "a;b")),
        (True, "str = Field('made.txt', flag_type='-', is_result=True)", "result_from_params = 'said'", ("said", None)),
        (True, "Annotated[int, Flag('-o'), IsResult()] = 0", "", (0, None)),
        (True, "Annotated[dict, IsResult()] = {'a': 1}", "", ({"a": 1}, None)),
        (False, "Annotated[str, Flag('-o'), IsResult()] = 'made.txt'", "impl_schemas = 'a'", (None, "a")),
    ],
)
def test_results_from_parameters(lab: Project, set_result: bool, kind: str, more: str, wanted: tuple[Any, Any]) -> None:
    """A4: with `set_result` the payload is `result_from_params`, else the field marked; `impl_schemas` goes to the result."""
    text = PROGRAMS.replace("{set_result}", str(set_result)).replace("{kind}", kind).replace("{more}", more or "pass")
    add(lab, text)
    lab.config()
    found = lab.run_task("Program")
    assert (found["returncode"], found["status"]) == (0, "COMPLETED")
    assert (found["payload"] if found["payload"] != "" else None, found["impl_schemas"]) == wanted


def test_a_python_task_may_have_its_result_from_parameters(lab: Project) -> None:
    """A4: also a Task in Python; a validator may set `result_from_params` (A5, older models)."""
    add(
        lab,
        """
        from lute import validator

        class MarkedParameters(TaskParameters):
            class Config:
                set_result = True
                impl_schemas = "s"

            folder: str = "here"
            name: str = Field("", is_result=True)

            @validator("name", always=True)
            def _name(cls, name, values):
                return name or values["folder"] + "/name"

        class Marked(Task):
            def _run(self):
                pass

        class ValidatedParameters(MarkedParameters):
            @validator("folder", always=True)
            def _folder(cls, folder, values):
                cls.Config.result_from_params = "from " + folder
                return folder

        class Validated(Marked):
            pass
    """,
    )
    lab.config("Validated: {folder: there}")
    marked, validated = lab.run_task("Marked"), lab.run_task("Validated")
    assert (marked["payload"], marked["impl_schemas"]) == ("here/name", "s")
    assert (validated["payload"], validated["impl_schemas"]) == ("from there", "s")


def run_all(lab: Project, own: bool, bodies: list[str], **keywords: Any) -> list[dict[str, Any]]:
    """Runs a program for each body of a model, from one process. Returns what the record holds of each, in order.

    Args:
        lab: The project.
        own: Whether each has a subclass of ThirdPartyTask of its own, and so is started by the child.
        bodies: What stands in each model.
        **keywords: What `api` takes.
    """
    text = ""
    for number, body in enumerate(bodies):
        indented = "".join(f"    {line}\n" for line in dedent(body).strip().splitlines())
        text += f"class Prog{number}Parameters(ThirdPartyParameters):\n{indented}\n"
        text += f"class Prog{number}(ThirdPartyTask): pass\n\n" if own else ""
    add(lab, text)
    lab.config()
    script = f"""
        for number in range({len(bodies)}):
            try:
                Executor(f"Prog{{number}}").execute_task()
            except TaskFailed:
                pass
        print(0)
    """
    api(lab, script, **keywords)
    rows: list[dict[str, Any]] = lab.lute("history", "-c", "config.yaml", "--json").json
    assert [row["task"] for row in rows[::-1]] == [f"Prog{number}" for number in range(len(bodies))]
    return rows[::-1]


def shell(script: str) -> str:
    """The body of a model that runs a shell's script."""
    return f'executable: str = "sh"\nc: Annotated[str, Flag("-c")] = {script!r}\n'


@pytest.mark.parametrize("own", [False, True])
def test_success_codes(lab: Project, own: bool) -> None:
    """A2: for a program exit 0 or a declared success code is COMPLETED, any other FAILED; meanings are told."""
    cases = [
        (0, "COMPLETED", ""),
        (3, "COMPLETED", "converged with warnings"),
        (4, "FAILED", "no reflections"),
        (1, "FAILED", "1"),
    ]
    settings = """class Config:
    success_codes = {3: "converged with warnings"}
    exit_codes = {4: "no reflections"}
"""
    rows = run_all(lab, own, [settings + shell(f"exit {code}") for code, _, _ in cases])
    assert [(row["exit_code"], row["status"]) for row in rows] == [(code, status) for code, status, _ in cases]
    for row, (_, _, said) in zip(rows, cases, strict=True):
        assert said in row["reason"]


@pytest.mark.parametrize("own", [False, True])
def test_declared_outputs(lab: Project, own: bool) -> None:
    """Issue, point 2: a declared output that is missing or empty at the end: FAILED, saying which."""
    cases = [
        ("Output()", "echo 1 > 'a file'", "COMPLETED"),
        ("Output()", ":", "FAILED"),
        ("Output()", ": > 'a file'", "FAILED"),
        ("Output()", "mkdir 'a file'", "FAILED"),
        ("Output()", "mkdir 'a file'; touch 'a file/x'", "COMPLETED"),
        ("Output(may_be_empty=True)", ": > 'a file'", "COMPLETED"),
        ("Output(may_be_empty=True)", ":", "FAILED"),
    ]
    field = "out_file: Annotated[Path, Positional(), IsResult(), {}] = Path('a file')\n"
    bodies = [shell(f"rm -rf 'a file'; {script}") + field.format(mark) for mark, script, _ in cases]
    rows = run_all(lab, own, bodies)
    assert [(row["exit_code"], row["status"]) for row in rows] == [(0, status) for _, _, status in cases]
    for row in rows:
        assert row["valid"] is (row["status"] == "COMPLETED")
        assert row["status"] == "COMPLETED" or "a file" in row["reason"]
    assert "empty" in rows[2]["reason"]


@pytest.mark.parametrize("own", [False, True])
def test_a_program_that_cannot_be_started(lab: Project, own: bool) -> None:
    """B1: a program that is not found is recorded with that reason, which shows the PATH that was searched."""
    lab.write("not-executable", "#!/bin/sh\n").chmod(0o644)
    lab.write("bad-interpreter", "#!/no/such/shell\n").chmod(0o755)
    (lab.folder / "a-folder").mkdir()
    names = ["no-such-program", "./not-executable", "./a-folder", "./bad-interpreter"]
    path = {"PATH": f"/first/place:{os.environ['PATH']}"}
    rows = run_all(lab, own, [f"executable: str = {name!r}" for name in names], env=path)
    for row, name in zip(rows, names, strict=True):
        assert row["status"] == "FAILED"
        assert name in row["reason"]
    assert "/first/place" in rows[0]["reason"]


@pytest.mark.parametrize("own", [False, True])
def test_a_program_killed_by_a_signal(lab: Project, own: bool) -> None:
    """A2, B1: a signal makes a program FAILED, and is told by its name."""
    names = ["SEGV", "KILL", "USR1", "PIPE", "ALRM"]
    rows = run_all(lab, own, [shell(f"kill -{name} $$") for name in names])
    assert [(row["status"], row["signal"]) for row in rows] == [("FAILED", f"SIG{name}") for name in names]
    for row, name in zip(rows, names, strict=True):
        assert f"SIG{name}" in row["reason"]


# ------------------------------------------------------------------------------ how programs start


@pytest.mark.parametrize("name", ["Look", "OwnLook"])
def test_a_program_starts_clean(lab: Project, name: str) -> None:
    """A3: default signal actions, an empty mask and no descriptor of ours, however it is started."""
    script = lab.write(
        "look.sh",
        """
        #!/bin/sh
        grep -E '^Sig(Ign|Blk)' /proc/self/status
        exec ls /proc/self/fd
        """,
    )
    script.chmod(0o755)
    add(
        lab,
        """
        class LookParameters(ThirdPartyParameters):
            executable: str = "./look.sh"

        class OwnLookParameters(LookParameters):
            pass

        class OwnLook(ThirdPartyTask):
            pass
    """,
    )
    lab.config()
    found = lab.run_task(name)
    assert found["status"] == "COMPLETED"
    lines = [line for line in Path(found["log"]).read_text().splitlines() if not line.startswith("./look.sh")]
    signals = {line.split(":")[0]: int(line.split()[1], 16) for line in lines if line.startswith("Sig")}
    assert {name: mask & ~C_LIBRARY_OWN for name, mask in signals.items()} == {"SigBlk": 0, "SigIgn": 0}
    descriptors = [int(line) for line in lines if line.isdigit()]
    assert descriptors[:3] == [0, 1, 2]
    assert len(descriptors) == 4, "beyond 0, 1 and 2 only the one that ls itself opens"


C_LIBRARY_OWN = 3 << 31
"""Signals 32 and 33: the C library keeps them for itself, and lets no program set them."""


@pytest.mark.parametrize("name", ["Py", "OwnPy"])
def test_a_program_starts_clean_though_lute_does_not(lab: Project, name: str) -> None:
    """A3: also where `lute` itself was started with signals ignored and blocked."""
    look = code(
        "import os;s=dict(l.split(':\\t',1)for l in open('/proc/self/status').read().splitlines() if ':\\t' in l);"
        "print(s['SigBlk'],s['SigIgn'],[n for n in os.listdir('/proc/self/fd') if int(n)>2])"
    )
    lab.config(f"{name}: {{code: {json.dumps(look)}}}")
    outcome = python(
        lab,
        """
        import os, signal, subprocess, sys
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD, signal.SIGTTOU):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, signal.SIGALRM])
        os.execv(sys.executable, [sys.executable, "-m", "lute", "run", *sys.argv[1:], "-c", "config.yaml", "--json", "-q"])
        """,
        name,
    )
    assert outcome.code == 0, outcome
    last = Path(outcome.json["log"]).read_text().splitlines()[-1]
    blocked, ignored, descriptors = last.split(" ", 2)
    python_ignores = (
        (1 << 12) | (1 << 24) | C_LIBRARY_OWN
    )  # SIGPIPE and SIGXFSZ, by this program itself, which is a Python
    assert int(blocked, 16) == 0
    assert int(ignored, 16) & ~python_ignores == 0
    assert len(eval(descriptors)) == 1, "only the one that listdir itself opens"


def test_a_program_and_its_subclass_raise_the_same_events(lab: Project) -> None:
    """A3: spawned directly or run in the child, a program raises the same events in the same order."""
    add(
        lab,
        """
        from lute import TemplateConfig

        class ProgParameters(ThirdPartyParameters):
            executable: str = "sh"
            c: Annotated[str, Flag("-c")] = "echo out; echo err >&2; exit 0"
            x: Annotated[int, Positional()] = 3

        class OwnProgParameters(ProgParameters):
            pass

        class OwnProg(ThirdPartyTask):
            pass

        class RenderParameters(ProgParameters):
            lute_template_cfg: TemplateConfig = TemplateConfig(template_name="t.txt", output_path="rendered.txt")

        class OwnRenderParameters(RenderParameters):
            pass

        class OwnRender(ThirdPartyTask):
            pass
    """,
    )
    lab.write("templates/t.txt", "x = {{ y }} {{ z }}\n")
    lab.config("Render: {y: 1, z: two words}\nOwnRender: {y: 1, z: two words}")
    found = api(
        lab,
        """
        from lute.wire.ipc import LUTE_SIGNALS
        told = []
        for name in ("Prog", "OwnProg", "Render", "OwnRender"):
            seen = []
            executor = Executor(name)
            for event in LUTE_SIGNALS:
                executor.add_hook(event, lambda executor, msg, proc: seen.append(
                    [msg.signal, type(msg.contents).__name__.replace("Own", "")]))
            analysis = executor.execute_task()
            text = open(analysis.record["log"]).read()
            rendered = open("rendered.txt").read() if "Render" in name else ""
            told.append([seen, text, rendered, analysis.task_result.task_status.name, analysis.task_result.payload])
            if rendered:
                os.unlink("rendered.txt")
        print(json.dumps(told))
        """,
    )
    direct, own, rendered, own_rendered = found
    assert direct == own
    assert rendered == own_rendered
    assert [event[0] for event in direct[0]][:2] == ["TASK_STARTED", "NO_PICKLE_MODE"]
    assert direct[1] == "sh -c echo out; echo err >&2; exit 0 3 \nout\nerr\n"
    assert rendered[1].splitlines()[:2] == ["TemplateParameters: {'y': 1}", "TemplateParameters: {'z': 'two words'}"]
    assert rendered[2] == "x = 1 two words\n"


@pytest.mark.parametrize("optimised", [False, True])
@pytest.mark.parametrize("own", [False, True])
def test_what_is_reported_depends_on_minus_o(lab: Project, own: bool, optimised: bool) -> None:
    """A3: without `-O` the command is reported before the program starts; with it nothing is."""
    add(
        lab,
        f"""
        class ProgParameters(ThirdPartyParameters):
            executable: str = "echo"
            x: Annotated[int, Positional()] = 3

        {"class Prog(ThirdPartyTask): pass" if own else ""}
    """,
    )
    lab.config()
    argv = [
        sys.executable,
        *(["-O"] if optimised else []),
        "-m",
        "lute",
        "run",
        "Prog",
        "-c",
        "config.yaml",
        "--json",
        "-q",
    ]
    outcome = lab.run(argv)
    assert outcome.code == 0
    assert Path(outcome.json["log"]).read_text() == ("3\n" if optimised else "echo 3 \n3\n")


@pytest.mark.parametrize("own", [False, True])
def test_debug_exit_before_the_program(lab: Project, own: bool) -> None:
    """A3, A4: with `LUTE_DEBUG_BEFORE_TPP_EXEC` set the child stops with 0 just before the program, which never runs."""
    add(
        lab,
        f"""
        class TouchParameters(ThirdPartyParameters):
            executable: str = "touch"
            name: Annotated[str, Positional()] = "touched"

        {"class Touch(ThirdPartyTask): pass" if own else ""}
    """,
    )
    lab.config()
    found = lab.run_task("Touch", env={"LUTE_DEBUG_BEFORE_TPP_EXEC": "1"})
    assert not (lab.folder / "touched").exists()
    assert found["exit_code"] == 0
    log = Path(found["log"]).read_text()
    assert "LUTE_DEBUG_BEFORE_TPP_EXEC" in log
    assert "line" in log
    assert lab.run_task("Touch")["status"] == "COMPLETED"
    assert (lab.folder / "touched").exists()


def test_a_template_that_is_missing_keeps_the_program_from_starting(lab: Project) -> None:
    """A3: a template that is missing is an error that names it; the program does not start."""
    add(
        lab,
        """
        from lute import TemplateConfig, TemplateParameters

        class TouchParameters(ThirdPartyParameters):
            executable: str = "touch"
            name: Annotated[str, Positional()] = "touched"
            level: TemplateParameters = TemplateParameters(3)
            lute_template_cfg: TemplateConfig = TemplateConfig(template_name="gone.txt", output_path="out.txt")

        class OwnTouchParameters(TouchParameters):
            pass

        class OwnTouch(ThirdPartyTask):
            pass
    """,
    )
    lab.config()
    for name in ("Touch", "OwnTouch"):
        outcome = lab.lute("run", name, "-c", "config.yaml", "--json")
        assert outcome.code in (1, 2)
        assert "gone.txt" in outcome.err + outcome.out
        assert not (lab.folder / "touched").exists()


@pytest.mark.parametrize("own", [False, True])
def test_a_timeout_ends_the_program_and_its_children(lab: Project, own: bool) -> None:
    """A3, B1: the timeout also ends the program and all its children, those that left its group or session too."""
    mark = f"EXEC_{os.getpid()}_{own}"
    add(
        lab,
        f"""
        class LongParameters(ThirdPartyParameters):
            executable: str = "sh"
            c: Annotated[str, Flag("-c")] = "trap '' TERM; sleep 88 & setsid sleep 88 & (setsid sh -c 'sleep 88 & exit' &); wait; wait"

        {"class Long(ThirdPartyTask): pass" if own else ""}
    """,
    )
    config = lab.config("{}", "clean_up_grace: 0.5\nterminate_grace: 0.3")
    config.write_text(config.read_text().replace("task_timeout: 60", "task_timeout: 0.7"))
    found = lab.run_task("Long", env={"MARK": mark})
    assert (found["returncode"], found["status"]) == (124, "TIMEDOUT")
    assert found["wall_s"] < 0.7 + 0.5 + 0.3 + 1.5
    assert pids_with(mark) == []


def test_arguments_reach_the_program_as_they_are(lab: Project) -> None:
    """B5: nothing from a YAML file reaches a shell; one value is one argument."""
    odd = ["", " ", "a b", "it's", '"', "$HOME", "`id`", "a\nb", "\u00e9\U0001f52c", "; touch hacked", "*", "-n", "0"]
    add(
        lab,
        """
        class ShowParameters(ThirdPartyParameters):
            executable: str = sys.executable
            c: Annotated[str, Flag("-c")] = "import json,sys; print(json.dumps(sys.argv[1:]))"
            values: Annotated[list[str], Positional()]
    """,
    )
    lab.config(f"Show: {{values: {json.dumps(odd, ensure_ascii=False)}}}")
    found = lab.run_task("Show")
    seen = json.loads(Path(found["log"]).read_text().splitlines()[-1])
    assert [value for value in odd if value] == [value for value in seen if value]
    assert not (lab.folder / "hacked").exists()
    assert found["command"][3:] == seen


# ----------------------------------------------------------------------------------------------- MPI


@pytest.mark.mpi
def test_two_ranks_run_one_task(lab: Project) -> None:
    """A2, A4: under MPIExecutor all ranks run the Task, and rank 0 alone signals."""
    lab.plugin("ranks")
    lab.config()
    found = lab.run_task("Both")
    assert (found["returncode"], found["status"]) == (0, "COMPLETED"), found
    assert (found["payload"], found["summary"]) == ([0, 10], "rank 0")
    assert [(lab.folder / f"rank{rank}").read_text() for rank in (0, 1)] == ["2", "2"]
    assert (lab.folder / "events").read_text().split() == ["TASK_STARTED", "TASK_RESULT"]


@pytest.mark.mpi
@pytest.mark.parametrize("rank", [0, 1])
def test_one_failing_rank_ends_all(lab: Project, rank: int) -> None:
    """A2, DESIGN: one rank that fails ends all; none waits for a dead one."""
    lab.plugin("ranks")
    lab.config(f"Ranks: {{fail: {rank}}}", "clean_up_grace: 1\nterminate_grace: 1")
    mark = f"MPI_{os.getpid()}_{rank}"
    found = lab.run_task("Both", env={"MARK": mark}, timeout=40)
    assert (found["returncode"], found["status"]) == (1, "FAILED"), found
    assert "one rank is broken" in Path(found["log"]).read_text()
    assert "ValueError: one rank is broken" in found["reason"]
    assert found["reason"].startswith("rank 1: ") == (rank == 1)
    assert found["wall_s"] < 20
    assert pids_with(mark) == []


@pytest.mark.mpi
def test_a_timeout_ends_all_ranks(lab: Project) -> None:
    """A2, B1: a timeout lets every rank clean up and ends it: TIMEDOUT, and no process is left."""
    lab.plugin("ranks")
    config = lab.config("Ranks: {wait: true}", "clean_up_grace: 1\nterminate_grace: 1")
    config.write_text(config.read_text().replace("task_timeout: 60", "task_timeout: 3"))
    mark = f"MPIT_{os.getpid()}"
    found = lab.run_task("Both", env={"MARK": mark}, timeout=40)
    assert (found["returncode"], found["status"]) == (124, "TIMEDOUT"), found
    assert sorted(path.name for path in lab.folder.glob("cleaned*")) == ["cleaned0", "cleaned1"]
    assert pids_with(mark) == []


@pytest.mark.mpi
def test_a_program_runs_under_mpirun(lab: Project) -> None:
    """A4: also a program is run by MPIExecutor, as that many ranks; its start is told once."""
    lab.plugin("ranks")
    lab.config()
    found = lab.run_task("Programs")
    assert (found["returncode"], found["status"]) == (0, "COMPLETED"), found
    assert (lab.folder / "ranks").read_text() == "a rank\n" * 2
    assert (lab.folder / "events").read_text().split()[:2] == ["TASK_STARTED", "NO_PICKLE_MODE"]


def test_the_number_of_ranks(lab: Project) -> None:
    """A4: ranks: `ranks=`, else `SLURM_NTASKS`, else all cores of the job; `reserve_core=True` keeps one."""
    add(
        lab,
        """
        Told, All, AllButOne = MPIExecutor("Echo", ranks=3), MPIExecutor("Echo"), MPIExecutor("Echo", reserve_core=True)
        OwnTask = MPIExecutor("Py", ranks=1)
    """,
    )
    lab.config("Py: {code: pass}")
    cores = len(os.sched_getaffinity(0))

    def ranks(name: str, **env: str) -> int:
        outcome = api(lab, f"from tasks import {name}\nprint(json.dumps({name}.settings().ranks.number))", env=env)
        assert isinstance(outcome, int)
        return outcome

    assert ranks("Told", SLURM_NTASKS="5") == 3
    assert ranks("All", SLURM_NTASKS="5") == 5
    assert ranks("AllButOne", SLURM_NTASKS="5") == 4
    assert ranks("All") == cores
    assert ranks("AllButOne") == max(1, cores - 1)
