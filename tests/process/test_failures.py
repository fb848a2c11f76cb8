"""What failure looks like: patterns, required metrics, tasklets, last lines, places of exceptions, fatal signals."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from conftest import Project
from lute import Executor
from process.helpers import make_bare_python

NONE = "print('0 spots indexed')"
GOOD = "print('12 spots indexed')"


@pytest.fixture
def lab(project: Project) -> Project:
    """A project with Tasks that fail in many ways."""
    project.plugin("fails")
    return project


def run(lab: Project, name: str, code: str = "", task: str = "", header: str = "", **keywords: Any) -> dict[str, Any]:
    """Runs a managed Task of the plug-in with some code. Returns its JSON and its log."""
    parameters = {"code": code, **keywords.pop("parameters", {})}
    tasks = [task] if task else ["Index", "OwnIndex", "Require", "RunCode"]
    lab.config("\n".join(f"{one}: {json.dumps(parameters)}" for one in tasks), header)
    found = lab.run_task(name, **keywords)
    return {**found, "text": Path(found["log"]).read_text(errors="replace"), "also": found.get("also", [])}


# ---------------------------------------------------------------------------------- failure patterns


def test_a_program_that_found_nothing_has_failed(lab: Project) -> None:
    """C3, R7: exit status 0 does not hide what the output says, and nothing takes the file that it left."""
    code = "import sys; print('0 spots indexed'); open(sys.argv[1], 'w').close()"
    found = run(lab, "Indexer", code, "Index", parameters={"out": "spots.csv"})
    assert (found["returncode"], found["status"], found["valid"]) == (1, "FAILED", False)
    assert found["reason"] == "nothing indexed"
    assert found["also"] == ["its output out = spots.csv is empty"]
    shown = lab.lute("show", "last").out
    assert re.search(r"^reason +nothing indexed$", shown, re.MULTILINE), shown
    assert re.search(r"^also +its output out = spots.csv is empty$", shown, re.MULTILINE), shown
    assert lab.lute("show", "last", "--json").json["also"] == found["also"]
    after = lab.lute("run", "Merger", "-c", "config.yaml")
    assert (after.code, "Index" in after.err) == (2, True), after


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("print('Sorry: several equal arrays')", "bad input: several equal arrays"),
        ("print('Sorry:')", "bad input"),
        ("print('Sorry: one'); print('Sorry: two')", "bad input: one"),
        ("print('Sorry: one'); print('0 spots indexed')", "nothing indexed"),
        ("print(end='0 spots indexed')", "nothing indexed"),
        ("print(end='0 spots indexed\\r12 spots\\r')", "nothing indexed"),
        ("import sys; print('Sorry: é', file=sys.stderr)", "bad input: é"),
        ("import os; os.write(1, b'Sorry: \\xff\\xfe!\\n')", "bad input: \ufffd\ufffd!"),
        ("print('Sorry: no', ' ' * 70_000, 'x')", "bad input: no"),
    ],
)
@pytest.mark.parametrize("name", ["Indexer", "OwnIndexer"])
def test_a_line_that_fits_makes_it_failed(lab: Project, name: str, code: str, reason: str) -> None:
    """C3: whole lines of both streams, bytes decoded with replacement; the reason is the name and the group `reason`."""
    found = run(lab, name, code)
    assert (found["status"], found["exit_code"], found["reason"]) == ("FAILED", 0, reason)


@pytest.mark.parametrize("code", ["print(' 0 spots indexed')", "print('x' * 70_000 + 'Sorry: late')", GOOD])
def test_a_line_that_does_not_fit_changes_nothing(lab: Project, code: str) -> None:
    """C3: each line is looked at by itself, up to 64 kB."""
    assert run(lab, "Indexer", code)["status"] == "COMPLETED"


def test_patterns_of_a_python_task(project: Project) -> None:
    """C3: a Task in Python may have them as well."""
    project.write(
        "tasks.py",
        """
        from lute import Task, TaskParameters

        class LookParameters(TaskParameters):
            class Config:
                failure_patterns = {"dark": "no light (?P<reason>in .*)?"}

        class Look(Task):
            def _run(self):
                print("no light in frame 3")
                self._result.payload = 5
        """,
    )
    project.config()
    found = project.run_task("Look")
    assert (found["status"], found["reason"], found["valid"]) == ("FAILED", "dark: in frame 3", False)


@pytest.mark.parametrize("name", ["Indexer", "OwnIndexer", "OwnInRanks"])
def test_what_lute_writes_itself_is_not_looked_at(lab: Project, name: str) -> None:
    """C3: a command line of several lines that holds the words tells neither of failure nor of metrics."""
    if name == "OwnInRanks":
        pytest.importorskip("mpi4py")
    code = "'''\n0 spots indexed\nSorry: none\n99 spots\n'''\nprint('frame 1')"
    found = run(lab, name, code)
    assert "\n0 spots indexed\n" in found["text"]
    assert (found["status"], found["reason"], found["metrics"]) == ("COMPLETED", "exited with status 0", {})


def test_what_a_class_of_its_own_prints_is_looked_at(lab: Project) -> None:
    """C3: what code prints before its program starts is output, between lines of `lute`."""
    found = run(lab, "OwnIndexer", "'''\n99 spots\n'''", env={"SAYS": "0 spots indexed"})
    assert (found["reason"], found["metrics"]["spots"]["value"]) == ("nothing indexed", 0)


def test_messages_of_lute_are_not_looked_at(lab: Project) -> None:
    """C3: what `lute` tells of a tasklet in the log, its traceback too, is no output."""
    found = run(lab, "CodeNotedBefore", GOOD)
    assert "[lute] 0 spots indexed" in found["text"]
    assert "[lute] ValueError: no file for all" in found["text"]
    assert found["status"] == "FAILED"  # by what the tasklet itself has printed
    assert found["text"].count("\n0 spots indexed\n") == 0


def test_no_line_is_skipped_in_a_flood(lab: Project) -> None:
    """C3: of a program that prints faster than anyone reads, every line is looked at, if need be at the end."""
    code = "import os; os.write(1, b'0 spots indexed\\n'); [os.write(1, b'frame 3 of 9 is fine\\n' * 50_000) for _ in range(60)]"
    found = run(lab, "Indexer", code)
    assert (found["status"], found["reason"]) == ("FAILED", "nothing indexed")


SLOW = """
    from typing import Annotated
    from lute import Positional, ThirdPartyParameters

    class SlowParameters(ThirdPartyParameters):
        executable: str = "echo"
        text: Annotated[str, Positional()] = "a" * 60 + "b"

        class Config(ThirdPartyParameters.Config):
            metric_patterns = {"n": r"^((a+)+)$"}
            failure_patterns = {"explodes": r"^(a+)+$", "works": "^a*(?P<reason>b)"}
"""


def test_a_pattern_that_explodes_is_given_up_alone(project: Project) -> None:
    """C3: bounded time; what is given up is named in the log, and the other patterns are still looked for."""
    project.write("tasks.py", SLOW)
    project.config()
    found = project.run_task("Slow")
    assert (found["status"], found["reason"]) == ("FAILED", "works: b")
    assert found["wall_s"] < 15
    text = Path(found["log"]).read_text()
    assert "[lute] the failure pattern 'explodes' took longer than 1 s, and is given up for this run" in text
    assert "[lute] the pattern of the metric n took longer than 1 s" in text
    assert "'works'" not in text


@pytest.mark.mpi
@pytest.mark.parametrize("name", ["InRanks", "OwnInRanks"])
def test_patterns_look_at_every_rank(lab: Project, name: str) -> None:
    """C3: of an MPI program at every rank's lines, without their labels."""
    ranks = "('PMI_RANK', 'OMPI_COMM_WORLD_RANK', 'PMIX_RANK')"
    code = f"import os; rank = [os.environ[n] for n in {ranks} if n in os.environ][0]\nif rank == '2': {NONE}"
    found = run(lab, name, code)
    assert "[2] 0 spots indexed" in found["text"]
    assert (found["status"], found["reason"]) == ("FAILED", "nothing indexed")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("failure_patterns = {'n': '['}", r"failure_patterns\['n'\] is no regular expression"),
        ("failure_patterns = {'n': 5}", r"failure_patterns\['n'\] is no regular expression"),
        ("failure_patterns = ['a']", "failure_patterns: write a dict, {name: pattern}"),
        (
            "require = {'spots': '=> 3'}",
            r"require\['spots'\] is '=> 3': write one of <, <=, >, >=, ==, != and a number",
        ),
        ("require = {'spots': 10}", r"require\['spots'\] is 10"),
        ("require = {'spots': '>= many'}", r"require\['spots'\] is '>= many'"),
        ("require = {'spots': '> nan'}", r"require\['spots'\] is '> nan'"),
        ("require = ['spots']", "require: write a dict"),
    ],
)
def test_a_broken_setting_is_an_error_of_the_model(project: Project, setting: str, said: str) -> None:
    """C3: what cannot work is told when the class is made, before anything starts."""
    project.write(
        "tasks.py",
        "from lute import ThirdPartyParameters\nclass PrintParameters(ThirdPartyParameters):\n"
        f"    executable: str = 'echo'\n    class Config(ThirdPartyParameters.Config):\n        {setting}\n",
    )
    project.config()
    outcome = project.lute("run", "Print", "-c", "config.yaml")
    assert (outcome.code, outcome.out) == (2, "")
    assert re.search(said, outcome.err), outcome


# ------------------------------------------------------------------------------------------- require


@pytest.mark.parametrize(
    ("code", "reasons"),
    [
        ("self.log_metric('spots', 10); self.log_metric('rate', 0.5)", []),
        ("self.log_metric('spots', 3); self.log_metric('rate', 0.5)", ["spots is 3, required >= 10"]),
        ("self.log_metric('spots', 9.75); self.log_metric('rate', 0)",
         ["spots is 9.75, required >= 10", "rate is 0, required != 0"]),
        ("self.log_metric('spots', 3); self.log_metric('spots', 30)", ["rate was not told, required != 0"]),
        ("self.log_metric('spots', 30); self.log_metric('rate', float('nan'))",
         ["rate is nan, required != 0"]),
    ],
)  # fmt: skip
def test_metrics_that_are_required(lab: Project, code: str, reasons: list[str]) -> None:
    """C3: a metric that was not told, or does not hold, makes the run FAILED; a comparison with nan is false."""
    found = run(lab, "Require", code)
    if reasons:
        assert (found["returncode"], found["status"], found["valid"]) == (1, "FAILED", False)
        assert [found["reason"], *found["also"]] == reasons
    else:
        assert (found["status"], found["also"]) == ("COMPLETED", [])


# ------------------------------------------------------------------------------------------ tasklets

TASKLET = "tasklet check failed: ValueError: no file for"


def test_a_tasklet_that_must_not_fail_afterwards(lab: Project) -> None:
    """C3, R8: with `on_error="fail"` the run is FAILED with the tasklet's last line, and no later one runs."""
    found = run(lab, "CheckedAfter", GOOD)
    assert (found["returncode"], found["status"], found["valid"]) == (1, "FAILED", False)
    assert found["reason"].startswith(f"{TASKLET} None")
    assert not (lab.folder / "later").exists()


def test_a_tasklet_is_the_last_reason(lab: Project) -> None:
    """C3: after a Task that did not complete no tasklet runs."""
    found = run(lab, "CheckedAfter", NONE)
    assert (found["reason"], found["also"]) == ("nothing indexed", [])


def test_a_tasklet_that_may_fail(lab: Project) -> None:
    """C3: as before, a note in the log, and the next one runs."""
    found = run(lab, "Noted", GOOD)
    assert (found["status"], found["reason"]) == ("COMPLETED", "exited with status 0")
    assert f"[lute] {TASKLET} None" in found["text"]
    assert (lab.folder / "later").exists()


def test_a_tasklet_that_takes_too_long(lab: Project) -> None:
    """C3: it did not do what it was to do."""
    found = run(lab, "Waiting", GOOD, header="tasklet_timeout: 0.3")
    assert (found["status"], found["reason"]) == ("FAILED", "tasklet waits was left: it took longer than 0.3 s")


@pytest.mark.parametrize("name", ["CheckedBefore", "CodeCheckedBefore"])
def test_a_tasklet_that_must_not_fail_before(lab: Project, name: str) -> None:
    """C3: what it prepares for does not run then."""
    found = run(lab, name, "open('ran', 'w')")
    assert (found["returncode"], found["status"]) == (1, "FAILED")
    assert found["reason"].startswith(f"{TASKLET} all")
    assert found["also"] == []
    assert not (lab.folder / "ran").exists()
    assert not (lab.folder / "later").exists()


@pytest.mark.parametrize("value", ["Fail", "", None, "ignore"])
def test_what_happens_on_an_error_is_one_of_two(value: Any) -> None:
    """C3: another value is an error when it is added."""
    with pytest.raises(ValueError, match="on_error"):
        Executor("Index").add_tasklet(print, on_error=value)


# ------------------------------------------------------------------- the last line of a program


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("sys.exit('Sorry, several equal arrays')", "exited with status 1: Sorry, several equal arrays"),
        ("print('one'); print('\\n  two  \\n\\n'); sys.exit(3)", "exited with status 3: two"),
        ("sys.exit(1)", "exited with status 1"),
        ("print('x' * 500); sys.exit(1)", f"exited with status 1: {'x' * 200}"),
        ("print('call us'); sys.exit(4)", "exited with status 4: no license: call us"),
        ("print(end='half a line'); sys.exit(1)", "exited with status 1: half a line"),
        ("print('frame 8'); sys.exit(139)",
         "exited with status 139, which is how a shell tells of SIGSEGV: frame 8"),
        ("sys.exit('Sorry: none')", "exited with status 1: Sorry: none"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["Indexer", "OwnIndexer"])
def test_the_reason_has_the_last_line(lab: Project, name: str, code: str, reason: str) -> None:
    """C3, R9: the last line with text that the program printed, which the command line in the log is not."""
    found = run(lab, name, f"import sys; {code}")
    assert (found["status"], found["reason"]) == ("FAILED", reason)
    assert found["also"] == (["bad input: none"] if "Sorry:" in code else [])


@pytest.mark.mpi
def test_the_last_line_of_ranks(lab: Project) -> None:
    """C3: that of a rank, without its label and what MPI prints after it."""
    found = run(lab, "InRanks", "import sys; sys.exit('no peaks')")
    assert re.fullmatch(r"exited with status \d+: no peaks", found["reason"]), found["reason"]


# ------------------------------------------------------------------------------------- exceptions


@pytest.mark.parametrize(
    ("name", "env"), [("Coder", {}), ("Under", {}), ("Coder", {"LUTE_LAUNCHER": "exec"})], ids=["forked", "new", "exec"]
)
def test_the_reason_has_the_place_of_an_exception(lab: Project, name: str, env: dict[str, str]) -> None:
    """C3: the deepest frame in the project's own files; the summary is the traceback's last line (A2)."""
    found = run(lab, name, "self.look_up('b')", env=env)
    line = next(n for n, text in enumerate((lab.folder / "tasks.py").read_text().splitlines(), 1) if "[key]" in text)
    assert (found["status"], found["reason"]) == ("FAILED", f"KeyError: 'b' (tasks.py:{line})")
    assert found["summary"] == "KeyError: 'b'"
    assert found["text"].rstrip().endswith("KeyError: 'b'")


def test_the_place_is_not_in_a_library(lab: Project) -> None:
    """C3: of an exception of the standard library, where the project has called it."""
    found = run(lab, "Coder", "import json; json.loads('{')")
    assert re.match(r"json.decoder.JSONDecodeError: .* \(tasks\.py:\d+\)$", found["reason"]), found["reason"]


def test_the_place_under_another_python(project: Project) -> None:
    """C3, A4: a Python with nothing installed tells the place too."""
    project.write("far.py", "from lute.tasks import Task\n\nclass Far(Task):\n    def _run(self):\n        1 / 0\n")
    project.write(
        "tasks.py",
        f"""
        from lute import Executor, TaskParameters

        class FarParameters(TaskParameters):
            class Config(TaskParameters.Config):
                task_module = "far"

        Farer = Executor("Far")
        Farer.interpreter({make_bare_python(project.folder / "bare")!r})
        """,
    )
    project.config()
    found = project.run_task("Farer")
    assert found["reason"] == "ZeroDivisionError: division by zero (far.py:5)"
    assert found["summary"] == "ZeroDivisionError: division by zero"


@pytest.mark.mpi
@pytest.mark.parametrize(("rank", "start"), [(0, ""), (1, "rank 1: ")])
def test_the_place_in_a_rank(lab: Project, rank: int, start: str) -> None:
    """C3: of the rank that has failed."""
    code = f"from mpi4py import MPI\nif MPI.COMM_WORLD.Get_rank() == {rank}: self.look_up('b')"
    found = run(lab, "CoderInRanks", code)
    assert re.fullmatch(rf"{start}KeyError: 'b' \(tasks\.py:\d+\)", found["reason"]), found["reason"]


def test_the_place_where_a_task_cannot_be_made(project: Project) -> None:
    """C3: also of an exception before it begins."""
    project.write(
        "tasks.py",
        "from lute import Task, TaskParameters\nclass BadParameters(TaskParameters): pass\n"
        "class Bad(Task):\n    def __init__(self, **keywords):\n        raise ValueError('no')\n    def _run(self): pass\n",
    )
    project.config()
    found = project.run_task("Bad")
    assert (found["reason"], found["summary"]) == ("ValueError: no (tasks.py:5)", "ValueError: no")


# ---------------------------------------------------------------------------------- fatal signals

DIE = "import os, signal; os.kill(os.getpid(), signal.{})"


@pytest.mark.parametrize("number", ["SIGSEGV", "SIGABRT", "SIGFPE", "SIGBUS", "SIGILL"])
def test_a_fatal_signal_leaves_a_traceback(lab: Project, number: str) -> None:
    """C3, P10: the Python traceback is in the log."""
    found = run(lab, "Coder", DIE.format(number))
    assert (found["status"], found["signal"], found["reason"][:24]) == (
        "FAILED",
        number,
        f"ended by signal {number}"[:24],
    )
    assert re.search(
        r'^Fatal Python error: .*\n(.*\n)*.*File ".*tasks\.py", line \d+ in _run', found["text"], re.MULTILINE
    )


def test_a_fatal_signal_in_a_new_interpreter(lab: Project) -> None:
    """C3: there as well."""
    assert "in _run" in run(lab, "Under", DIE.format("SIGSEGV"))["text"]


@pytest.mark.mpi
def test_a_fatal_signal_in_a_rank(lab: Project) -> None:
    """C3: and in a rank, labelled."""
    text = run(lab, "CoderInRanks", DIE.format("SIGSEGV"))["text"]
    assert re.search(r'^\[[01]\]   File ".*tasks\.py", line \d+ in _run', text, re.MULTILINE), text


def test_a_program_has_no_handlers_of_ours(lab: Project) -> None:
    """A3, C3: a program that replaces the Task starts with default signal actions."""
    lab.config('OwnIndex: {executable: sh, code: "exec cat /proc/self/status"}')
    text = Path(lab.run_task("OwnIndexer")["log"]).read_text()
    [caught] = re.findall(r"^SigCgt:\s+(\w+)$", text, re.MULTILINE)
    fatal = sum(1 << (number - 1) for number in (4, 6, 7, 8, 11))
    assert int(caught, 16) & fatal == 0


# ------------------------------------------------------------------------------ KeyboardInterrupt


def test_a_keyboard_interrupt_in_a_task(lab: Project) -> None:
    """C3, P10: FAILED with that reason; the run's owner is not gone."""
    found = run(lab, "Coder", "raise KeyboardInterrupt('enough')")
    assert (found["returncode"], found["status"], found["summary"]) == (1, "FAILED", "KeyboardInterrupt: enough")
    assert re.fullmatch(r"KeyboardInterrupt: enough \(tasks\.py:\d+\)", found["reason"])


@pytest.mark.parametrize(
    ("where", "status"), [("__setstate__(self, state)", "COMPLETED"), ("__reduce__(self)", "FAILED")]
)
def test_a_keyboard_interrupt_while_a_payload_travels(lab: Project, where: str, status: str) -> None:
    """C3, P10: while it is sent the Task FAILED; one that cannot be loaded changes nothing, and says why."""
    lab.write(
        "bad.py", f"class Bad:\n  def __init__(self): self.x = 5\n  def {where}: raise KeyboardInterrupt('enough')"
    )
    code = f"import sys; sys.path.insert(0, {str(lab.folder)!r})\nimport bad; self._result.payload = bad.Bad()"
    found = run(lab, "Coder", code, env={"PYTHONPATH": str(lab.folder)})
    told = found["reason"] if status == "FAILED" else found["payload"]["reason"]
    assert (found["status"], "KeyboardInterrupt: enough" in told) == (status, True), found
    assert "Bad" in found["payload"]["type"]
    assert lab.lute("show", "last", "--json").json["status"] == status


def test_a_keyboard_interrupt_in_a_tasklet(lab: Project) -> None:
    """C3: a failure of the tasklet like any other."""
    found = run(lab, "Interrupted", GOOD)
    assert (found["status"], found["reason"]) == (
        "FAILED",
        "tasklet interrupts failed: KeyboardInterrupt: from a tasklet",
    )


def test_a_keyboard_interrupt_in_a_hook(lab: Project) -> None:
    """C3: a hook changes nothing, whatever it raises."""
    found = run(lab, "Hooked", "self._result.summary = 'fine'")
    assert (found["status"], found["summary"]) == ("COMPLETED", "fine")
    assert "the hook for TASK_STARTED failed: KeyboardInterrupt: from a hook" in found["text"]


def test_a_step_that_failed_so_is_not_reused(lab: Project) -> None:
    """C3, B3: a step whose output tells of failure is run again, and what needs it is not run."""
    lab.config(f"Index: {{code: {json.dumps(NONE)}}}")
    lab.write("flow.yaml", "steps:\n  index: {task: Indexer}\n  merge: {task: Merger, needs: [index]}\n")
    for _ in range(2):
        assert lab.lute("workflow", "run", "flow.yaml", "-c", "config.yaml", "-q").code == 1
    rows = lab.lute("history", "--json").json
    assert [(row["step"], row["status"], row["reason"]) for row in rows] == 2 * [("index", "FAILED", "nothing indexed")]
