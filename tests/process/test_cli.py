"""The commands: what people type, what they and their programs read, exit codes, safety."""

from __future__ import annotations

import importlib.resources
import json
import os
import re
import signal
import stat
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import Outcome, Project
from process.helpers import pids_with, start, unread, wait_until

KEYS = [
    "id",
    "task",
    "managed_task",
    "experiment",
    "run",
    "status",
    "reason",
    "exit_code",
    "signal",
    "summary",
    "payload",
    "impl_schemas",
    "valid",
    "parameters",
    "command",
    "environment",
    "started",
    "ended",
    "wall_s",
    "user_s",
    "system_s",
    "max_rss_kib",
    "host",
    "pid",
    "log",
    "plots",
    "metrics",
    "versions",
    "workflow",
    "step",
    "attempt",
]


@pytest.fixture
def shop(project: Project) -> Project:
    """A project with a few Tasks."""
    project.plugin("commands")
    project.write("templates/select.txt", "level {{ level }}\nsecret {{ secret }}\n")
    project.config("Select: {level: 3, secret: none}")
    return project


def run(project: Project, *arguments: str, **keywords: Any) -> Outcome:
    """Runs `lute run ... -c config.yaml`."""
    return project.lute("run", *arguments, "-c", "config.yaml", **keywords)


def everything(folder: Path) -> set[str]:
    """All files below a folder, but for what Python compiles."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if "__pycache__" not in str(path)}


# -------------------------------------------------------------------------------------------- init

EXAMPLES = sorted(
    entry.name
    for entry in importlib.resources.files("lute").joinpath("cli", "projects").iterdir()
    if "__" not in entry.name
)


@pytest.mark.parametrize(("example", "place"), [(None, "a new/folder"), *((example, "") for example in EXAMPLES)])
def test_init_writes_a_project_that_runs(project: Project, example: str | None, place: str) -> None:
    """B: `lute init [DIR] [--example NAME]` writes a project, in an empty folder, each of whose Tasks runs as it is."""
    made = project.lute("init", *([place] if place else []), *(["--example", example] if example else []))
    assert made.code == 0, made
    project.folder = project.folder / place
    header, tasks = yaml.safe_load_all((project.folder / "config.yaml").read_text())
    assert header["plugins"]
    names = [name for name in tasks if name[0].isupper()]
    assert names
    checked = project.lute("check", "-c", "config.yaml")
    assert (checked.code, checked.err) == (0, ""), checked
    for name in names:
        found = project.run_task(name)
        assert (found["returncode"], found["status"], found["stderr"]) == (0, "COMPLETED", ""), found
    assert len(project.lute("history", "-c", "config.yaml", "--json").json) == len(names)


def test_init_writes_what_a_newcomer_needs(project: Project) -> None:
    """B: YAML, one Python file with a Task, a template, a workflow."""
    assert project.lute("init").code == 0
    files = everything(project.folder)
    assert "config.yaml" in files
    assert len([name for name in files if name.endswith(".py")]) == 1
    assert any(name.startswith("templates/") for name in files)
    assert any("workflow" in name for name in files)


def test_init_overwrites_nothing(project: Project) -> None:
    """STYLE: what is there already stays, and is told."""
    project.write("config.yaml", "my own\n")
    outcome = project.lute("init")
    assert outcome.code == 2
    assert "config.yaml" in outcome.err
    assert (project.folder / "config.yaml").read_text() == "my own\n"
    assert everything(project.folder) == {"config.yaml"}


def test_init_names_the_examples(project: Project) -> None:
    """STYLE: a misspelt name gets the nearest one."""
    outcome = project.lute("init", "--example", "scam")
    assert outcome.code == 2
    assert "scan" in outcome.err
    assert everything(project.folder) == set()


# --------------------------------------------------------------------------------------------- run


def test_json_has_every_key(shop: Project) -> None:
    """B: one JSON object with every key; `run` and `show` alike, `history` a list of them."""
    before = datetime.now(UTC)
    found = run(shop, "Counter", "--json", "-q").json
    after = datetime.now(UTC)
    shown = shop.lute("show", found["id"], "-c", "config.yaml", "--json").json
    [listed] = shop.lute("history", "-c", "config.yaml", "--json").json
    for told in (found, shown, listed):
        assert set(told) >= set(KEYS), set(KEYS) - set(told)
    assert shown == found
    assert listed == found
    assert before <= datetime.fromisoformat(found["started"]) <= datetime.fromisoformat(found["ended"]) <= after
    assert found["started"].endswith(("+00:00", "Z"))
    assert isinstance(found["id"], str)
    assert (found["experiment"], str(found["run"]), found["managed_task"], found["task"]) == (
        "exp1",
        "7",
        "Counter",
        "Count",
    )
    assert (found["exit_code"], found["signal"], found["valid"], found["plots"]) == (0, None, True, [])
    assert found["parameters"]["threshold"] == 0.5
    assert os.path.isabs(found["log"])
    assert isinstance(found["command"], list)
    assert 0 <= found["user_s"] < 60
    assert 0 < found["wall_s"] < 60
    assert found["max_rss_kib"] > 1000
    assert {"lute", "python"} <= set(found["versions"])
    assert found["host"] == os.uname().nodename


def test_a_task_runs_by_its_own_name(shop: Project) -> None:
    """B: if there is no managed Task of a name, a Task of that name runs under the default Executor."""
    found = run(shop, "Count", "--json", "-q").json
    assert (found["status"], found["task"]) == ("COMPLETED", "Count")
    assert not found["managed_task"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["Countr"], "Count"),
        (["Counter", "-s", "Count.numbr=5"], "number"),
        (["Counter", "-s", "Count.number=many"], "number"),
        (["Counter", "-s", "Count.number"], "="),
        (["Counter", "--no-such-option"], "no-such-option"),
        ([], ""),
        (["Counter", "-p", "no_such_plugin.py"], "no_such_plugin.py"),
        (["Counter", "-c", "no_such.yaml"], "no_such.yaml"),
    ],
)
def test_exit_2_is_nothing_started(shop: Project, arguments: list[str], said: str) -> None:
    """B: exit 2: nothing was started, and standard error says why; with `--json`, `{"error": ...}`."""
    known = everything(shop.folder)
    config = [] if "-c" in arguments else ["-c", "config.yaml"]
    as_json = shop.lute("run", *arguments, *config, "--json")
    assert as_json.code == 2
    assert said in str(as_json.json["error"])
    assert "Traceback" not in as_json.err
    assert everything(shop.folder) == known


def test_exit_2_says_why_on_standard_error(shop: Project) -> None:
    """B: without `--json` the reason is on standard error, with the nearest name; standard output stays empty."""
    outcome = run(shop, "Countr")
    assert (outcome.code, outcome.out) == (2, "")
    assert "Did you mean 'Counter'?" in outcome.err or "Did you mean 'Count'?" in outcome.err


def test_all_problems_of_a_file_at_once(shop: Project) -> None:
    """B1, issue: bad YAML is exit 2, and every problem is told with file, line and column."""
    shop.config("Count: {numbr: 5, kind: spot, threshold: high}\nSelect: {level: 3, secret: x, levle: 4}")
    outcome = run(shop, "Counter")
    assert outcome.code == 2
    for text in ("numbr", "'number'", "kind", "threshold"):
        assert text in outcome.err
    assert len(re.findall(r"config\.yaml:\d+:\d+: ", outcome.err)) >= 3


def test_what_is_set_and_where_it_counts(shop: Project) -> None:
    """B: `--set`, `-e` and `-r` change this run alone."""
    text = (shop.folder / "config.yaml").read_text()
    found = run(
        shop, "Counter", "-s", "Count.number=0", "--set", "Count.words=a = b", "-e", "exp2", "-r", "12", "--json", "-q"
    ).json
    assert (found["experiment"], str(found["run"])) == ("exp2", "12")
    assert (found["parameters"]["number"], found["parameters"]["words"]) == (0, "a = b")
    assert found["payload"] == {"n": 0}
    assert (shop.folder / "config.yaml").read_text() == text


def test_dry_run_starts_and_writes_nothing(shop: Project) -> None:
    """B: `--dry-run` shows command line, rendered templates and environment changes; starts nothing, writes nothing."""
    known = everything(shop.folder)
    outcome = run(shop, "Selector", "--dry-run", "-s", "Select.out=a file")
    assert outcome.code == 0
    assert "touch" in outcome.out
    assert "level 3\n" in outcome.out
    assert "SEEN_BY_SELECTOR" in outcome.out
    assert "/first" in outcome.out
    as_json = run(shop, "Selector", "--dry-run", "--json").json
    assert as_json["command"] == ["touch", "touched"]
    assert everything(shop.folder) == known
    python_task = run(shop, "Counter", "--dry-run")
    assert (python_task.code, everything(shop.folder)) == (0, known)
    assert "counting" not in python_task.out + python_task.err


def test_dry_run_tells_what_is_wrong(shop: Project) -> None:
    """B: also `--dry-run` validates: a bad value is exit 2."""
    outcome = run(shop, "Counter", "--dry-run", "-s", "Count.number=-1")
    assert outcome.code == 2
    assert "number" in outcome.err


def test_exit_codes_of_run(shop: Project) -> None:
    """B: 0 COMPLETED, 1 FAILED, 124 TIMEDOUT."""
    assert run(shop, "Counter").code == 0
    assert run(shop, "Counter", "-s", "Count.number=13").code == 1
    config = shop.folder / "config.yaml"
    config.write_text(config.read_text().replace("task_timeout: 60", "task_timeout: 0.5"))
    outcome = run(shop, "Waiter", "--json")
    assert (outcome.code, outcome.json["status"]) == (124, "TIMEDOUT")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_a_run_that_is_cancelled(shop: Project, number: signal.Signals, code: int) -> None:
    """B, B1: Ctrl-C is CANCELLED and 130, SIGTERM 143, after the Task's own clean-up; no process is left."""
    mark = f"CANCEL_{os.getpid()}_{number}"
    with start(shop, "run", "Waiter", "-c", "config.yaml", "--json", "-q", env={"MARK": mark}) as running:
        wait_until((shop.folder / "started").exists, "the Task has started")
        running.send_signal(number)
        out, err = running.communicate(timeout=30)
    found = json.loads(out)
    assert (running.returncode, found["status"]) == (code, "CANCELLED"), err.decode()
    assert found["reason"]
    assert Path(found["log"]).read_text().splitlines() == ["waiting", "clean up"]
    assert pids_with(mark) == []
    assert shop.lute("show", found["id"], "-c", "config.yaml", "--json").json["status"] == "CANCELLED"


def test_ctrl_c_of_a_terminal_reaches_the_whole_group(shop: Project) -> None:
    """B1: as a terminal sends it, SIGINT to the whole process group, the Task's clean-up still runs, once."""
    with start(shop, "run", "Waiter", "-c", "config.yaml", "--json", "-q", start_new_session=True) as running:
        wait_until((shop.folder / "started").exists, "the Task has started")
        os.killpg(running.pid, signal.SIGINT)
        out, _ = running.communicate(timeout=30)
    assert running.returncode == 130
    assert Path(json.loads(out)["log"]).read_text().splitlines() == ["waiting", "clean up"]


def test_standard_output_holds_results_alone(shop: Project) -> None:
    """B: results on standard output, the log on standard error; `-q` does not copy it; no colours off a terminal."""
    plain, quiet = run(shop, "Counter"), run(shop, "Counter", "-q")
    assert "counting 5\n" in plain.err
    assert "counting" not in plain.out
    assert quiet.err == ""
    assert "COMPLETED" in plain.out
    assert "\x1b" not in plain.out + plain.err


def test_nothing_is_printed_that_was_not_asked_for(shop: Project) -> None:
    """Point 8: no output of ours: the log is the Task's, and standard error is the log."""
    outcome = run(shop, "Counter", "--json")
    assert outcome.err == "counting 5\n"
    assert Path(outcome.json["log"]).read_text() == "counting 5\n"
    imported = shop.run([sys.executable, "-W", "error", "-c", "import lute, lute.managed_tasks; lute.Executor('Test')"])
    assert (imported.code, imported.out, imported.err) == (0, "", "")


def test_minus_o_makes_no_difference(shop: Project) -> None:
    """Point 8: works with `python -O`, validation included."""
    optimised = [sys.executable, "-O", "-m", "lute"]
    outcome = shop.run([*optimised, "run", "Counter", "-c", "config.yaml", "--json"])
    assert (outcome.code, outcome.json["status"], outcome.err) == (0, "COMPLETED", "counting 5\n")
    assert shop.run([*optimised, "run", "Counter", "-c", "config.yaml", "-s", "Count.number=-1"]).code == 2
    assert shop.run([*optimised, "run", "Counter", "-c", "config.yaml", "-s", "Count.number=13"]).code == 1
    assert shop.run([*optimised, "run", "Selector", "-c", "config.yaml"]).code == 0
    assert (shop.folder / "select.out").read_text() == "level 3\nsecret none\n"


def test_run_task_is_kept(shop: Project) -> None:
    """B: `python -m lute.run_task -t NAME -c FILE` does what `lute run` does, with the same exit codes."""
    old = [sys.executable, "-m", "lute.run_task"]
    good = shop.run([*old, "-t", "Counter", "-c", "config.yaml"])
    assert good.code == 0
    assert "counting 5" in good.err
    shop.config("Count: {number: 13}")
    assert shop.run([*old, "-t", "Counter", "-c", "config.yaml"]).code == 1
    assert shop.run([*old, "-t", "NoSuch", "-c", "config.yaml"]).code == 2
    assert shop.run([*old, "-c", "config.yaml"]).code == 2


@pytest.mark.parametrize("how", ["option", "variable", "module"])
def test_plugins_are_found(project: Project, how: str) -> None:
    """B: plug-ins by `-p FILE_OR_MODULE`, repeatable, and by `LUTE_PLUGINS`."""
    project.config()
    project.plugin("commands", "elsewhere/one.py")
    project.write("elsewhere/two.py", "from lute import Executor\nSecond = Executor('Count')\n")
    one, two = str(project.folder / "elsewhere/one.py"), str(project.folder / "elsewhere/two.py")
    env: dict[str, str] = {}
    options: list[str] = []
    if how == "option":
        options = ["-p", one, "--plugin", two]
    elif how == "variable":
        env = {"LUTE_PLUGINS": os.pathsep.join([one, two])}
    else:
        options, env = ["-p", "one", "-p", "two"], {"PYTHONPATH": str(project.folder / "elsewhere")}
    for name in ("Counter", "Second"):
        assert run(project, name, *options, env=env).code == 0
    assert run(project, "Counter").code == 2


def test_what_a_plugin_prints_is_no_result(shop: Project) -> None:
    """B: standard output holds results alone, also where a plug-in prints while it is loaded."""
    shop.add_to_plugin("print('noise of a plug-in')")
    for arguments in (["run", "Counter", "-q"], ["history"], ["show", "last"], ["check"], ["tasks"]):
        outcome = shop.lute(*arguments, "-c", "config.yaml", "--json")
        assert (outcome.code, bool(outcome.json)) == (0, True), outcome
        assert "noise of a plug-in" in outcome.err
    schema = shop.lute("schema", "-c", "config.yaml")
    assert schema.json["$schema"], schema


def test_a_plugin_that_is_broken_is_told_with_its_place(project: Project) -> None:
    """B: a plug-in with an error is exit 2, naming file and line."""
    project.write("tasks.py", "import os\n\n1 / 0\n")
    project.config()
    outcome = run(project, "Test")
    assert outcome.code == 2
    assert "tasks.py" in outcome.err
    assert "ZeroDivisionError" in outcome.err
    assert "3" in outcome.err


def test_help_on_every_level(project: Project) -> None:
    """B: help on every level, with module and command alike."""
    whole = project.lute("--help")
    assert whole.code == 0
    for command in ("init", "run", "check", "tasks", "schema", "history", "show", "log"):
        assert re.search(rf"^\s+{command}\b", whole.out, re.M)
        told = project.lute(command, "--help")
        assert (told.code, told.err) == (0, "")
        assert told.out.startswith("usage: lute")
    assert project.lute("--version").out.strip().endswith(__import__("lute").__version__)
    assert project.lute().code == 2
    assert project.lute("rum").code == 2


def test_a_run_inside_a_task(shop: Project) -> None:
    """B, A5: `lute run` inside a Task is a run of its own: nothing of the outer run is taken for its own."""
    outcome = run(shop, "Nest", "--json", "-q")
    assert (outcome.code, outcome.json["status"]) == (0, "COMPLETED"), outcome
    inner = json.loads(outcome.json["payload"])
    assert (inner["status"], inner["payload"]) == ("COMPLETED", {"n": 5})
    assert inner["id"] != outcome.json["id"]
    assert Path(inner["log"]).read_text() == "counting 5\n"
    assert Path(outcome.json["log"]).read_text() == "still my own\n"
    assert len(shop.lute("history", "-c", "config.yaml", "--json").json) == 2


def test_control_variables_of_an_outer_run_are_not_passed_on(shop: Project) -> None:
    """A4, A5: what tells a Task where to connect belongs to one run; junk in it from outside does no harm."""
    env = {"LUTE_SOCKET": "/no/such/socket", "LUTE_PORT": "1", "LUTE_CHANNEL_FD": "77", "LUTE_EXECUTOR_HOST": "nowhere"}
    outcome = run(shop, "Env", "--json", "-q", env=env)
    assert (outcome.code, outcome.json["status"]) == (0, "COMPLETED"), outcome
    assert not set(env.items()) & set(outcome.json["payload"].items())
    assert run(shop, "Selector", env=env).code == 0


# ------------------------------------------------------------------------------------------- check


def test_check_finds_all_problems(shop: Project) -> None:
    """B: `lute check` tells all problems at once, each with file, line, column, what was expected, the nearest name."""
    shop.config(
        """
        Count:
          numbr: 5
          kind: spot
        Selct: {level: 3}
        Select:
          level: 3
          secret: x
          levle: 4
        """
    )
    outcome = shop.lute("check", "-c", "config.yaml")
    assert outcome.code == 1
    lines = (shop.folder / "config.yaml").read_text().splitlines()
    text = outcome.out + outcome.err
    for name, near in (("numbr", "number"), ("kind", "peak"), ("Selct", "Select"), ("levle", "level")):
        line = next(n for n, content in enumerate(lines, 1) if name in content)
        column = lines[line - 1].index(name) + 1
        assert re.search(rf"config\.yaml:{line}:{column}: .*{near}", text), (name, text)


def test_check_as_json(shop: Project) -> None:
    """B: `--json` where a program may read the answer: problems and notes with their places."""
    shop.config("Count: {numbr: 5}\nmine: {time: 12:30, on: no}")
    outcome = shop.lute("check", "-c", "config.yaml", "--json")
    assert outcome.code == 1
    [problem] = outcome.json["problems"]
    assert problem["file"].endswith("config.yaml")
    assert (problem["line"], problem["column"]) == (8, 9)
    assert "numbr" in problem["message"]
    places = [(note["line"], note["column"]) for note in outcome.json["notes"]]
    assert {(9, 14), (9, 25)} <= set(places), outcome.json


def test_check_of_a_file_that_is_not_there(shop: Project) -> None:
    """B: exit 2 where the file cannot be looked at, and 1 only for problems in it."""
    outcome = shop.lute("check", "-c", "confg.yaml", "--json")
    assert (outcome.code, list(outcome.json)) == (2, ["error"]), outcome
    assert "Did you mean 'config.yaml'?" in outcome.json["error"]


def test_check_notes_where_yaml_is_read_differently(shop: Project) -> None:
    """A5: `lute check` notes scalars that PyYAML would read in another way; a note is no problem."""
    shop.config("Count: {words: 12:30}\nothers: [no, 1_000, 0012, 1e-3, 'no', plain, 5]")
    outcome = shop.lute("check", "-c", "config.yaml")
    assert outcome.code == 0
    text = outcome.out + outcome.err
    for scalar in ("12:30", "no", "1_000", "0012", "1e-3"):
        assert scalar in text
    assert "plain" not in text


def test_check_looks_at_what_it_is_told_to(shop: Project) -> None:
    """B: `lute check NAME...` looks at those Tasks."""
    shop.config("Count: {number: -1}\nSelect: {level: 3, secret: x}")
    assert shop.lute("check", "-c", "config.yaml", "Selector").code == 0
    assert shop.lute("check", "-c", "config.yaml", "Counter").code == 1
    assert shop.lute("check", "-c", "config.yaml", "Select", "Count").code == 1
    wrong = shop.lute("check", "-c", "config.yaml", "Selecter")
    assert wrong.code in (1, 2)
    assert "Selector" in wrong.out + wrong.err
    assert not (shop.folder / "lute.db").exists()


# ---------------------------------------------------------------------------------- tasks and schema


def test_tasks_lists_tasks_and_their_parameters(shop: Project) -> None:
    """B: `lute tasks` lists Tasks and managed Tasks; with a name: parameters, types, defaults, units, help."""
    listed = shop.lute("tasks", "-c", "config.yaml")
    assert listed.code == 0
    for name in ("Counter", "Count", "Selector", "Tester"):
        assert re.search(rf"\b{name}\b", listed.out)
    for name in ("Counter", "Count"):
        one = shop.lute("tasks", name, "-p", "tasks.py")
        for text in ("Count things.", "number", "int", "5", "counts", "How many there are.", "peak", "ring", "0.5"):
            assert text in one.out, text
    wrong = shop.lute("tasks", "Cont", "-c", "config.yaml")
    assert wrong.code == 2
    assert "Count" in wrong.err


def test_tasks_as_json(shop: Project) -> None:
    """B: `--json` of `tasks`."""
    assert "Counter" in json.dumps(shop.lute("tasks", "-c", "config.yaml", "--json").json)
    one = json.dumps(shop.lute("tasks", "Counter", "-c", "config.yaml", "--json").json)
    assert "How many there are." in one
    assert "counts" in one


TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def is_valid(schema: dict[str, Any], part: Any, value: Any) -> bool:
    """As much of JSON Schema as the schema of a YAML file needs."""
    if isinstance(part, bool):
        return part

    def valid(inner: Any, item: Any = value) -> bool:
        return is_valid(schema, inner, item)

    def of_type(name: str) -> bool:
        return isinstance(value, TYPES[name]) and (name == "boolean" or not isinstance(value, bool))

    kinds = part.get("type", [])
    checks = [
        "$ref" not in part or valid(_referred(schema, part["$ref"])),
        not kinds or any(of_type(kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)),
        "const" not in part or value == part["const"],
        "enum" not in part or value in part["enum"],
        all(valid(inner) for inner in part.get("allOf", [])),
        "anyOf" not in part or any(valid(inner) for inner in part["anyOf"]),
        "oneOf" not in part or sum(valid(inner) for inner in part["oneOf"]) == 1,
        "not" not in part or not valid(part["not"]),
        "if" not in part or valid(part.get("then" if valid(part["if"]) else "else", True)),
        not isinstance(value, str) or re.search(part.get("pattern", ""), value) is not None,
        isinstance(value, bool) or not isinstance(value, int | float) or value >= part.get("minimum", value),
    ]
    if isinstance(value, list):
        checks.append(all(valid(part.get("items", True), item) for item in value))
    if isinstance(value, dict):
        known, patterns = part.get("properties", {}), part.get("patternProperties", {})
        checks.append(set(part.get("required", [])) <= set(value))
        for name, item in value.items():
            named = [inner for inner in (known.get(name),) if inner is not None]
            named += [inner for pattern, inner in patterns.items() if re.search(pattern, name)]
            checks.append(valid(part.get("propertyNames", True), name))
            checks.append(all(valid(inner, item) for inner in named or [part.get("additionalProperties", True)]))
    return all(checks)


def _referred(schema: dict[str, Any], path: str) -> Any:
    found: Any = schema
    for name in path.removeprefix("#/").split("/"):
        found = found[name]
    return found


GOOD: list[Any] = [
    {"Count": {"number": 5, "words": "x"}, "mine": [1, {"a": None}]},
    {"Count": None},
    {"Count": {"number": "{{ mine }}", "threshold": "{{ other.a }}"}, "mine": 5},
    {"experiment": "exp1", "run": 7, "task_timeout": 60, "plugins": ["tasks.py"], "mine": 1},
]
BAD: list[Any] = [
    {"Count": {"numbr": 5}},
    {"Count": {"number": -1}},
    {"Count": {"kind": "spot"}},
    {"experiment": "exp1", "task_timeout": "long"},
]


def test_schema_tells_good_from_bad(shop: Project) -> None:
    """B: `lute schema`: JSON Schema of the YAML's documents, with which an editor underlines what is wrong."""
    schema = shop.lute("schema", "-c", "config.yaml").json
    assert "json-schema.org" in schema["$schema"]
    own = list(yaml.safe_load_all((shop.folder / "config.yaml").read_text()))
    assert [document for document in [*own, *GOOD] if not is_valid(schema, schema, document)] == []
    assert [document for document in BAD if is_valid(schema, schema, document)] == []


def test_schema_of_any_type(project: Project) -> None:
    """B: a parameter of a type that JSON Schema does not have takes any value; the others are as they were."""
    project.plugin("odd_types", "odd.py")
    outcome = project.lute("schema", "-p", "odd.py")
    assert (outcome.code, outcome.err) == (0, ""), outcome
    schema = outcome.json
    assert "Infinity" not in outcome.out
    for good in ({"must": 1}, {"must": {"a": 1}, "detector": "x", "several": [1, "y"], "function": 1, "count": 4}):
        assert is_valid(schema, schema, {"Odd": good})
    for bad in ({}, {"must": 1, "count": "four"}, {"must": 1, "wrods": []}, {"must": 1, "several": 5}):
        assert not is_valid(schema, schema, {"Odd": bad}), bad


def test_tasks_shows_defaults_that_are_made(project: Project) -> None:
    """B: a default that a function makes: an empty list is shown, another function is named and not called."""
    project.plugin("odd_types", "odd.py")
    outcome = project.lute("tasks", "Odd", "-p", "odd.py")
    assert (outcome.code, outcome.err) == (0, ""), outcome
    assert "Undefined" not in outcome.out
    lines = {line.split()[0]: line for line in outcome.out.splitlines() if line.strip()}
    wanted = {"words": "[]", "named": "{}", "identity": "(from <lambda>)", "folder": "(from cwd)", "count": "3"}
    assert {name: text for name, text in wanted.items() if text not in lines[name]} == {}, outcome
    about = {row["name"]: row for row in project.lute("tasks", "Odd", "-p", "odd.py", "--json").json["parameters"]}
    assert (about["words"]["default"], about["words"]["default_factory"], about["words"]["required"]) == (
        [],
        None,
        False,
    )
    assert (about["folder"]["default"], about["folder"]["default_factory"]) == (None, "cwd")
    assert (about["count"]["default"], about["count"]["default_factory"]) == (3, None)
    assert about["must"]["required"]


def test_schema_has_help_for_editors(shop: Project) -> None:
    """B: the schema holds the Tasks' parameters with their descriptions, and the header's."""
    text = shop.lute("schema", "-p", "tasks.py").out
    for part in (
        "experiment",
        "task_timeout",
        "work_dir",
        "Count",
        "Select",
        "threshold",
        "How many there are.",
        '"peak"',
    ):
        assert part in text, part


# ----------------------------------------------------------------------------- history, show, log


def test_history_is_newest_first(shop: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    """B: `history --json` gives all, newest first, `--limit N` the newest N; `-c`, `--db` or ./lute.db."""
    ids = [run(shop, "Counter", "-s", f"Count.number={n}", "--json", "-q").json["id"] for n in (1, 13, 3)]
    listed = shop.lute("history", "-c", "config.yaml", "--json").json
    assert [row["id"] for row in listed] == ids[::-1]
    assert [row["status"] for row in listed] == ["COMPLETED", "FAILED", "COMPLETED"]
    assert [row["id"] for row in shop.lute("history", "-c", "config.yaml", "--json", "--limit", "2").json] == ids[:0:-1]
    assert shop.lute("history", "--json").json == listed
    shop.folder = tmp_path_factory.mktemp("elsewhere")
    assert shop.lute("history", "--db", listed[0]["log"].split("/lute.")[0] + "/lute.db", "--json").json == listed


def test_history_shows_a_table(shop: Project) -> None:
    """B: without `--json` a table that a person reads."""
    found = run(shop, "Counter", "--json", "-q").json
    table = shop.lute("history", "-c", "config.yaml").out
    for text in (found["id"], "Counter", "COMPLETED", "exp1"):
        assert text in table


def test_a_record_elsewhere(shop: Project) -> None:
    """B: `--db` works on `run` and on every command that reads the record."""
    found = run(shop, "Counter", "--json", "-q", "--db", "other.db").json
    assert not (shop.folder / "lute.db").exists()
    assert shop.lute("show", found["id"], "--db", "other.db", "--json").json["id"] == found["id"]
    assert shop.lute("log", found["id"], "--db", "other.db").out == "counting 5\n"


@pytest.mark.parametrize("command", ["show", "log"])
def test_an_id_that_is_not_there(shop: Project, command: str) -> None:
    """B: an unknown id is an error that names it."""
    run(shop, "Counter", "-q")
    outcome = shop.lute(command, "nosuchrun", "-c", "config.yaml")
    assert outcome.code not in (0, 1, 124)
    assert outcome.out == ""
    assert "nosuchrun" in outcome.err


def test_show_is_for_people_too(shop: Project) -> None:
    """B: `lute show ID` tells status, reason, parameters and log in words."""
    found = run(shop, "Counter", "-s", "Count.number=13", "--json", "-q").json
    text = shop.lute("show", found["id"], "-c", "config.yaml").out
    for part in ("FAILED", "an unlucky number", "13", found["log"], "Counter"):
        assert part in text


def test_log_gives_the_bytes_as_they_are(shop: Project) -> None:
    """B1: `lute log` gives the log as it is; `--times` shows when each line was seen."""
    found = run(shop, "Raw", "--json", "-q").json
    plain = shop.lute("log", found["id"], "-c", "config.yaml")
    with start(shop, "log", found["id"], "-c", "config.yaml") as process:
        out, _ = process.communicate(timeout=30)
    assert (plain.code, out) == (0, bytes(range(256)) + b"\nsecond\nno end")
    times = shop.lute("log", found["id"], "-c", "config.yaml", "--times").out
    assert re.search(r"^\S*\d\d:\d\d:\d\d\S*.*second$", times, re.M)
    assert re.search(r"\d\d:\d\d:\d\d\S*.*no end", times)


def test_log_follows_a_run_that_lives(shop: Project) -> None:
    """B: `lute log ID -f` shows what comes and ends with the run."""
    with start(shop, "run", "Waiter", "-c", "config.yaml", "-q") as running:
        wait_until((shop.folder / "started").exists, "the Task has started")
        [row] = shop.lute("history", "-c", "config.yaml", "--json").json
        assert row["status"] == "RUNNING"
        assert shop.lute("log", row["id"], "-c", "config.yaml").out == "waiting\n"
        with start(shop, "log", row["id"], "-f", "-c", "config.yaml") as following:
            assert following.stdout is not None
            assert following.stdout.readline() == b"waiting\n"
            assert following.poll() is None
            (shop.folder / "go").touch()
            assert following.stdout.read() == b"went on\n"
            assert following.wait(30) == 0
        assert running.wait(30) == 0


def test_a_reader_that_goes_away(shop: Project) -> None:
    """B: `lute log | head -1` ends without a traceback."""
    found = run(shop, "Counter", "--json", "-q").json
    Path(found["log"]).write_bytes(b"a line\n" * 500_000)
    with start(shop, "log", found["id"], "-c", "config.yaml") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
        process.wait(30)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["check", "-c", "config.yaml"], 1), (["diff", "ID", "OTHER"], 1), (["history"], 120), (["run", "Counter"], 0)],
)
@pytest.mark.parametrize("buffered", ["", "1"])
def test_the_exit_status_is_kept_though_nobody_reads(
    shop: Project, arguments: list[str], code: int, buffered: str
) -> None:
    """B: `lute check | true` tells of problems all the same; a listing that nobody reads says so, with no message."""
    ids = {name: run(shop, "Counter", "--json", "-q", "-s", f"Count.number={name!s}").json["id"] for name in "12"}
    config = shop.folder / "config.yaml"
    if arguments[0] == "check":
        config.write_text(config.read_text() + "\nSelect: {levle: 4}\n")
    if arguments[0] == "run":
        arguments = [*arguments, "-c", "config.yaml", "-q"]
    command = [{"ID": ids["1"], "OTHER": ids["2"]}.get(word, word) for word in arguments]
    assert unread(shop, *command, env={"PYTHONUNBUFFERED": buffered}) == (code, None, b"")


# ------------------------------------------------------------------------------------------ safety


def test_secrets_are_not_written(shop: Project) -> None:
    """B5: a secret in the environment reaches neither record nor log nor `--dry-run`, also where it was changed."""
    names = ["API_TOKEN", "PGPASSWORD", "MY_SECRET", "AWS_SECRET_ACCESS_KEY", "db_password", "GITHUB_TOKEN"]
    secrets = {name: f"s3cr3t-{number}-value" for number, name in enumerate(names)}
    more = """
    Secretive = Executor("Select")
    Secretive.update_environment({"NEW_TOKEN": "s3cr3t-new-value", "HARMLESS": "seen"})
    """
    shop.add_to_plugin(more)
    every = "".join(f"{{{{ ${name} }}}}" for name in names)
    shop.config(f"Select: {{level: 3, secret: '{every}', out: 'touched-{every}'}}")
    dry = run(shop, "Secretive", "--dry-run", env=secrets)
    dry_json = run(shop, "Secretive", "--dry-run", "--json", env=secrets)
    ran = run(shop, "Secretive", "--json", "-vv", env=secrets)
    failed = run(shop, "Secretive", "--json", "-s", "Select.executable=/bin/false", env=secrets)
    assert [outcome.code for outcome in (dry, dry_json, ran, failed)] == [0, 0, 0, 1]
    assert ran.json["environment"]["HARMLESS"] == "seen"
    assert (shop.folder / f"touched-{''.join(secrets.values())}").exists(), "the program itself gets the values"
    shown = shop.lute("show", ran.json["id"], "-c", "config.yaml", "--json")
    for outcome in (dry, dry_json, ran, failed, shown):
        assert "s3cr3t" not in outcome.out + outcome.err
    kept = [path for path in shop.folder.rglob("*") if path.is_file() and "lute" in str(path.relative_to(shop.folder))]
    assert len(kept) >= 3
    assert [str(path) for path in kept if b"s3cr3t" in path.read_bytes()] == []


@pytest.mark.parametrize(("mode", "group"), [(0o750, 0o050), (0o2775, 0o070), (0o700, 0), (0o777, 0o070)])
def test_files_follow_the_work_dir(shop: Project, mode: int, group: int) -> None:
    """B5: record, logs and summaries keep the group bits of `work_dir`; others get nothing, whatever the umask."""
    shop.folder.chmod(mode)
    before = everything(shop.folder)
    with start(shop, "run", "Draw", "-c", "config.yaml", "-q", preexec_fn=lambda: os.umask(0)) as process:
        assert process.wait(30) == 0
    made = everything(shop.folder) - before
    assert any(name.endswith("report.html") for name in made)
    assert "lute.db" in made
    for name in sorted(made):
        path = shop.folder / name
        bits = stat.S_IMODE(path.stat().st_mode)
        wanted = group if path.is_dir() else group & 0o060
        assert bits & 0o007 == 0, f"{name}: {oct(bits)}"
        assert bits & 0o070 == wanted, f"{name}: {oct(bits)}, wanted group bits {oct(wanted)}"
        if mode & stat.S_ISGID and path.is_dir():
            assert bits & 0o2000 or path.stat().st_gid == shop.folder.stat().st_gid


def test_sockets_are_the_users_own(shop: Project) -> None:
    """B5: while a run lives, its sockets and keys can be reached by the user alone."""
    more = """
    from lute.wire.ipc import Party, SocketCommunicator

    Socketed = Executor("Wait", communicators=[SocketCommunicator(Party.EXECUTOR)])
    """
    shop.add_to_plugin(more)
    mark = f"SOCKETS_{os.getpid()}"
    with start(shop, "run", "Socketed", "-c", "config.yaml", "-q", env={"MARK": mark}) as running:
        wait_until((shop.folder / "started").exists, "the Task has started")
        descriptors = [path for pid in pids_with(mark) for path in Path(f"/proc/{pid}/fd").iterdir()]
        ours = {os.readlink(path).strip("socket:[]") for path in descriptors if path.is_symlink()}
        table = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
        places = {Path(row[7]) for row in table if row[6] in ours and len(row) > 7 and row[7].startswith("/")}
        assert places, "no socket of this run has a name in the file system"
        for folder in {place.parent for place in places}:
            assert stat.S_IMODE(folder.stat().st_mode) & 0o077 == 0, folder
            for path in folder.iterdir():
                assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
        (shop.folder / "go").touch()
        assert running.wait(30) == 0
    assert not any(place.exists() for place in places)


def test_each_command_reads_the_variable(shop: Project) -> None:
    """B: `-c` is `$LUTE_CONFIGPATH` where it is not given."""
    env = {"LUTE_CONFIGPATH": "config.yaml"}
    checks: list[Callable[[], Outcome]] = [
        lambda: shop.lute("run", "Counter", env=env),
        lambda: shop.lute("check", env=env),
        lambda: shop.lute("history", env=env),
        lambda: shop.lute("tasks", "Counter", env=env),
    ]
    assert [check().code for check in checks] == [0, 0, 0, 0]
