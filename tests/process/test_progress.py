"""Progress and metrics: told by the Task or read from what a program prints, in the record and on a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import sqlite3
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

import pytest

from conftest import LUTE, Project
from lute.tasks.progress import ProgressReporter
from lute.wire.control import Progress
from process.helpers import make_bare_python, python, start, wait_until

WAIT = "while not Path('go').exists(): time.sleep(0.01)"


@pytest.fixture
def tells(project: Project) -> Project:
    """A project with Tasks that tell of themselves, as on a common terminal."""
    project.env["TERM"] = "xterm"
    project.plugin("progress")
    return project


def run_code(project: Project, code: str, task: str = "Tell", timeout: float = 60, **keywords: Any) -> dict[str, Any]:
    """Runs a Task with some code. Returns its JSON."""
    project.config(f"{task}: {{code: {json.dumps(code)}}}")
    return project.run_task(task, "-s", f"task_timeout={timeout}", **keywords)


# ------------------------------------------------------------------------------------- from a Task


def test_progress_of_a_run_is_seen_while_it_lives(tells: Project) -> None:
    """B: `show` and `history` tell how far a run is."""
    code = f"self.report_progress(340, 1000, 'frames'); self.log_metric('hits', 12)\n{WAIT}"
    tells.config(f"Tell: {{code: {json.dumps(code)}}}")
    with start(tells, "run", "Tell", "-c", "config.yaml", "-q") as running:
        wait_until(lambda: "340/1000" in tells.lute("history").out, "progress in the history")
        assert re.search(r"Tell +RUNNING +340/1000 \(34 %\) frames\n", tells.lute("history").out)
        shown = tells.lute("show", "last")
        assert re.search(r"^progress +340/1000 \(34 %\) frames$", shown.out, re.MULTILINE), shown
        found = tells.lute("show", "last", "--json").json
        assert found["progress"] == {"done": 340, "total": 1000, "text": "frames"}
        assert found["metrics"] == {"hits": {"value": 12, "unit": ""}}
        (tells.folder / "go").touch()
        assert running.wait(20) == 0
    assert "340/1000" not in tells.lute("history").out


def test_many_reports_cost_little_and_the_last_one_arrives(tells: Project) -> None:
    """B: of 200,000 reports in a second or so the record has the last."""
    found = run_code(tells, "for i in range(200_000): self.report_progress(i + 1, 200_000)")
    assert (found["status"], found["progress"]["done"]) == ("COMPLETED", 200_000)
    assert found["wall_s"] < 10


def test_at_most_ten_a_second_are_sent() -> None:
    """B: reports are held back where they are made."""
    sent: list[Any] = []
    teller = ProgressReporter(sent.append)
    begun = time.monotonic()
    count = 0
    while time.monotonic() - begun < 1:
        count += 1
        teller.progress(count, None, "")
    assert 8 <= len(sent) <= 10
    assert sent[4].done == 5  # the first few at once
    teller.end()
    assert sent[-1] == Progress(count)


def test_the_record_is_written_at_most_once_a_second(tells: Project) -> None:
    """B: progress costs the record no more than one write a second."""
    code = "end = time.monotonic() + 4\nwhile time.monotonic() < end: self.report_progress(time.monotonic())"
    tells.config(f"Tell: {{code: {json.dumps(code)}}}")
    with start(tells, "run", "Tell", "-c", "config.yaml", "-q") as running:
        wait_until(lambda: "RUNNING" in tells.lute("history").out, "a run in the record")
        seen = set()
        with contextlib.closing(sqlite3.connect(tells.folder / "lute.db")) as database:
            while running.poll() is None:
                seen.add(database.execute("SELECT progress FROM lute_runs").fetchone()[0])
    assert 3 <= len(seen) <= 6, seen  # none yet, four or less, the last one


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("'rmerge', 0.05", {"rmerge": {"value": 0.05, "unit": ""}}),
        ("'d_min', 1.8, 'A'", {"d_min": {"value": 1.8, "unit": "A"}}),
        ("'n', 0", {"n": {"value": 0, "unit": ""}}),
        ("'n', float('nan')", {"n": {"value": "nan", "unit": ""}}),
        ("'n', __import__('numpy').int64(5)", {"n": {"value": 5, "unit": ""}}),
        ("'n', __import__('numpy').float32(0.5)", {"n": {"value": 0.5, "unit": ""}}),
        ("'two\\nlines', 1", {"two lines": {"value": 1, "unit": ""}}),
    ],
)
def test_metrics_are_kept(tells: Project, expression: str, wanted: dict[str, Any]) -> None:
    """B: `metrics` is an object: a number and its unit by name; the last value counts."""
    found = run_code(tells, f"self.log_metric('first', 1); self.log_metric({expression}); self.log_metric('first', 2)")
    assert found["metrics"] == {"first": {"value": 2, "unit": ""}, **wanted}
    shown = tells.lute("show", "last").out
    assert re.search(r"^metrics\n  first +2$", shown, re.MULTILINE), shown


@pytest.mark.parametrize("call", ["report_progress('x')", "report_progress(-1)", "log_metric('n', 'many')"])
def test_what_is_no_number_is_an_error_of_the_task(tells: Project, call: str) -> None:
    """B: a Task that tells nonsense hears of it."""
    found = run_code(tells, f"self.{call}")
    assert found["status"] == "FAILED"
    assert re.search("'x'|-1|'many'", found["summary"]), found["summary"]


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("raise ValueError('no')", "FAILED"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "FAILED"),
        ("os._exit(3)", "FAILED"),
        ("time.sleep(60)", "TIMEDOUT"),
    ],
)
def test_what_was_told_is_kept_however_the_run_ends(tells: Project, ending: str, status: str) -> None:
    """B: progress and metrics of a run that failed say how far it came."""
    code = f"self.log_metric('hits', 3); self.report_progress(1, 2, 'half'); {ending}"
    found = run_code(tells, code, timeout=1)
    assert (found["status"], found["metrics"]["hits"]["value"]) == (status, 3)
    assert found["progress"] == {"done": 1, "total": 2, "text": "half"}


def test_a_function_tells_too(tells: Project) -> None:
    """A: `lute.report_progress` and `lute.log_metric` are for Tasks that are functions, and harmless elsewhere."""
    tells.config()
    found = tells.run_task("TellPlainly")
    assert found["progress"] == {"done": 3, "total": 3, "text": "steps"}
    assert found["metrics"] == {"score": {"value": 0.5, "unit": "mm"}}
    outcome = python(tells, "import tasks\nprint(tasks.tell_plainly(2))", env={"PYTHONPATH": str(tells.folder)})
    assert (outcome.out, outcome.err) == ("2\n", "")


def test_under_another_python(project: Project) -> None:
    """A4: a Python with nothing installed can tell."""
    project.write("far.py", "from lute.tasks import Task\n\nclass Far(Task):\n    def _run(self):\n"
                  "        self.report_progress(1, 4)\n        self.log_metric('n', 2.5)\n")  # fmt: skip
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
    assert (found["status"], found["progress"]["total"], found["metrics"]["n"]["value"]) == ("COMPLETED", 4, 2.5)


@pytest.mark.mpi
def test_rank_zero_alone_tells(project: Project) -> None:
    """A2: of all ranks one signals."""
    project.write(
        "tasks.py",
        """
        from lute import MPIExecutor, Task, TaskParameters

        class RankParameters(TaskParameters):
            pass

        class Rank(Task):
            def _run(self):
                from mpi4py import MPI
                rank = MPI.COMM_WORLD.Get_rank()
                self.log_metric(f"from {rank}", rank)
                self.report_progress(rank + 1, 3)

        Ranks = MPIExecutor("Rank", ranks=3)
        """,
    )
    project.config()
    found = project.run_task("Ranks")
    assert (found["metrics"], found["progress"]["done"]) == ({"from 0": {"value": 0, "unit": ""}}, 1)


@pytest.mark.parametrize(
    "sent",
    [
        5,
        {"progress": {"done": 1}},
        ["Progress", "x"],
        ["Progress", 1, 2, "three", 4],
        ["Metric", "m", []],
        ["Metric", "m"],
        ["Unknown", 1],
        [["Progress"], 1],
    ],
)
def test_nonsense_from_a_task_changes_nothing(tells: Project, sent: Any) -> None:
    """B1: what comes is looked at before it is believed; the run's outcome stands."""
    code = f"from lute.wire.channel import task_channel; task_channel().control({sent!r})"
    found = run_code(tells, code)
    assert (found["status"], found["metrics"]) == ("COMPLETED", {})
    assert "sent what cannot be understood" in Path(found["log"]).read_text()


def test_metrics_are_bounded(tells: Project) -> None:
    """B2: a Task that takes numbers for names does not swell the record."""
    found = run_code(tells, "for i in range(3000): self.log_metric(f'm{i}', i)")
    assert len(found["metrics"]) == 1000
    assert Path(found["log"]).read_text().count("more than 1000 metrics") == 1


def test_secrets_are_hidden(tells: Project) -> None:
    """B5: a secret in what a Task tells is not written to the record."""
    code = "self.report_progress(1, 2, 'with ' + os.environ['MY_TOKEN'])"
    found = run_code(tells, code, env={"MY_TOKEN": "abcdef123"})
    assert found["progress"]["text"] == "with ***"


# ------------------------------------------------------------------------------- from what is printed


@pytest.mark.parametrize(
    ("code", "progress", "metrics"),
    [
        ("print('frame 3 of 9 here')", {"done": 3, "total": 9, "text": "here"}, {}),
        ("print('frame 1 of 9\\nframe 2 of 9')", {"done": 2, "total": 9, "text": ""}, {}),
        ("print('frame 1 of 9\\r', end='frame 4 of 9\\r')", {"done": 4, "total": 9, "text": ""}, {}),
        ("print(end='R-merge: 0.05\\nresolution 1.8')", None, {"rmerge": (0.05, ""), "d_min": (1.8, "A")}),
        ("print('R-merge: 7', 'x' * 200_000, 'resolution 1.8')", None, {"rmerge": (7, "")}),
        ("print('R-merge: inf')", None, {"rmerge": ("inf", "")}),
        ("import sys; sys.stdout.buffer.write(b'\\xff\\xfe R-merge: 0.1 \\xff')", None, {"rmerge": (0.1, "")}),
        ("import time\nfor part in ('R-mer', 'ge: ', '0.', '07'): print(end=part, flush=True); time.sleep(.1)", None,
         {"rmerge": (0.07, "")}),
    ],
)  # fmt: skip
def test_a_program_tells_by_what_it_prints(tells: Project, code: str, progress: Any, metrics: dict[str, Any]) -> None:
    """B: the patterns of the model are looked for in each line; the last value counts; a long line is cut."""
    found = run_code(tells, code, "Print")
    assert found["status"] == "COMPLETED"
    assert found.get("progress") == progress
    assert {name: (item["value"], item["unit"]) for name, item in found["metrics"].items()} == metrics


def test_what_lute_writes_itself_is_not_taken_for_output(tells: Project) -> None:
    """B: the command line in the log, which holds the words of the pattern, tells nothing."""
    found = run_code(tells, "'frame 3 of 9'", "Print")
    assert "frame 3 of 9" in Path(found["log"]).read_text()
    assert found.get("progress") is None


def test_a_program_is_seen_while_it_prints(tells: Project) -> None:
    """B: the log is read as it grows."""
    code = "import os, time\nprint('frame 3 of 9', flush=True)\nwhile not os.path.exists('go'): time.sleep(0.01)"
    tells.config(f"Print: {{code: {json.dumps(code)}}}")
    with start(tells, "run", "Print", "-c", "config.yaml", "-q") as running:
        wait_until(lambda: "3/9 (33 %)" in tells.lute("history").out, "progress in the history")
        (tells.folder / "go").touch()
        assert running.wait(20) == 0


def test_what_is_no_number_is_told_once(tells: Project) -> None:
    """B: a pattern that finds something else is told of in the log, and the run's outcome stands."""
    found = run_code(tells, "print('R-merge: none\\n' * 5)", "Print")
    assert (found["status"], found["metrics"]) == ("COMPLETED", {})
    told = "the pattern of the metric rmerge found 'none', which is no number"
    assert Path(found["log"]).read_text().count(told) == 1


def test_a_flood_is_skimmed_and_its_end_is_read(tells: Project) -> None:
    """B1: whoever prints much is not waited for; what stands at the end is found."""
    code = "for i in range(1_500_000): print('frame', i, 'of 1500000', 'x' * 40)\nprint('R-merge: 0.5')"
    found = run_code(tells, code, "Print")
    assert (found["status"], found["metrics"]["rmerge"]["value"]) == ("COMPLETED", 0.5)
    assert found["progress"]["done"] == 1_499_999


def test_a_pattern_that_explodes_is_given_up(project: Project) -> None:
    """B: a pattern whose time grows without bound holds up neither the run nor its end."""
    project.write(
        "tasks.py",
        """
        from typing import Annotated
        from lute import Positional, ThirdPartyParameters

        class SlowParameters(ThirdPartyParameters):
            executable: str = "echo"
            text: Annotated[str, Positional()] = "a" * 60 + "b"

            class Config(ThirdPartyParameters.Config):
                metric_patterns = {"n": r"^((a+)+)$"}
        """,
    )
    project.config()
    found = project.run_task("Slow")
    assert (found["status"], found["metrics"]) == ("COMPLETED", {})
    assert found["wall_s"] < 10
    assert "given up for this run" in Path(found["log"]).read_text()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("progress_pattern = '('", "Print.*progress_pattern is no regular expression"),
        ("progress_pattern = r'(\\d+)'", "needs a group `done` or `percent`"),
        ("progress_pattern = r'(?P<don>\\d+)'", "there is no group 'don'.*Did you mean 'done'"),
        ("progress_pattern = 5", "no regular expression"),
        ("metric_patterns = {'n': '['}", r"metric_patterns\['n'\] is no regular expression"),
        ("metric_patterns = {'n': 'no group'}", "needs a group for the value"),
        ("metric_patterns = ['(a)']", "write a dict"),
    ],
)
def test_a_broken_pattern_is_an_error_of_the_model(project: Project, setting: str, said: str) -> None:
    """B: a pattern that cannot work is told when the class is made, before anything starts."""
    project.write(
        "tasks.py",
        "from lute import ThirdPartyParameters\nclass PrintParameters(ThirdPartyParameters):\n"
        f"    executable: str = 'echo'\n    class Config(ThirdPartyParameters.Config):\n        {setting}\n",
    )
    project.config()
    outcome = project.lute("run", "Print", "-c", "config.yaml")
    assert (outcome.code, outcome.out) == (2, "")
    assert re.search(said, outcome.err), outcome


# -------------------------------------------------------------------------------------- on a terminal


class Terminal:
    """A terminal of 80 columns that knows what `lute` uses: line ends, carriage return, erase to the end."""

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.seen = b""

    def run(self, argv: list[str], project: Project, **streams: Any) -> int:
        """Runs a command with its standard error on this terminal. Returns its exit code."""
        fixed: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": self.slave}
        with subprocess.Popen(argv, cwd=project.folder, env=project.env, **(fixed | streams)) as running:
            os.close(self.slave)
            while piece := self._read():
                self.seen += piece
            return running.wait(20)

    def _read(self) -> bytes:
        try:
            return os.read(self.master, 65536)
        except OSError:  # how a terminal says that nobody has it open any more
            return b""

    def screen(self) -> list[str]:
        """Returns what stands on it at the end, line by line."""
        lines, column = [""], 0
        for part in re.findall(r"\x1b\[K|\r\n|\r|[^\x1b\r\n]+|.", self.seen.decode(), re.DOTALL):
            if part == "\r\n":
                lines, column = [*lines, ""], 0
            elif part == "\r":
                column = 0
            elif part == "\x1b[K":
                lines[-1] = lines[-1][:column]
            else:
                assert part.isprintable(), repr(part)
                lines[-1] = lines[-1][:column] + part + lines[-1][column + len(part) :]
                column += len(part)
        return lines


TALK = """
import logging
for i in range(40):
    self.report_progress(i + 1, 40, 'frames with a text that is much longer than what there is room for' * (i > 20))
    if i % 4 == 0: print('line', i)
    time.sleep(0.02)
"""


def test_a_terminal_shows_one_line_below_the_log(tells: Project) -> None:
    """B: on a terminal one line tells of progress; it cuts no line of the log, and is gone at the end."""
    tells.config(f"Tell: {{code: {json.dumps(TALK)}}}")
    terminal = Terminal()
    assert terminal.run([*LUTE, "run", "Tell", "-c", "config.yaml"], tells) == 0
    assert terminal.screen() == [*(f"line {i}" for i in range(0, 40, 4)), ""]
    drawn = re.findall(r"(?:^|\n|\x1b\[K)(Tell  [^\r]+)", terminal.seen.decode())
    assert len(set(drawn)) >= 4
    assert max(len(line) for line in drawn) == 79  # a long text is cut, so that the line does not wrap
    for line in drawn:
        [(done, share)] = re.findall(r"(\d+)/40 \((\d+) %\)", line)
        assert int(share) == int(done) * 100 // 40


def test_warnings_of_lute_appear_above_the_line(tells: Project) -> None:
    """B: what `lute` itself says while the line stands there is whole as well."""
    tells.write("hooks.py", "import sys\nfrom lute import Executor\nTalker = Executor('Tell')\n"
                "Talker.add_hook('TASK_LOG', lambda *_: print('a hook', file=sys.stderr))\n"
                "Talker.add_hook('TASK_DONE', lambda *_: 1 / 0)\n")  # fmt: skip
    code = (
        "from lute import Message\nself.report_progress(1, 2)\ntime.sleep(0.3)\n"
        "self._report_to_executor(Message({'a': 1}))\nself._report_to_executor(Message(signal='TASK_DONE'))"
    )
    tells.config(f"Tell: {{code: {json.dumps(code)}}}")
    terminal = Terminal()
    assert terminal.run([*LUTE, "run", "Talker", "-c", "config.yaml", "-p", "hooks.py"], tells) == 0
    assert "1/2 (50 %)" in terminal.seen.decode()
    told = "the hook for TASK_DONE failed: ZeroDivisionError: division by zero"
    assert {"a hook", f"lute: {told}", f"[lute] {told}"} <= set(terminal.screen())


def test_a_line_that_the_program_has_not_ended_is_left_alone(tells: Project) -> None:
    """B: a program's own bar, written over with carriage returns, is not disturbed by ours."""
    code = "import time\nfor i in range(9): print(end=f'frame {i} of 9\\r', flush=True); time.sleep(0.1)\nprint('done    ok')"
    tells.config(f"Print: {{code: {json.dumps(code)}}}")
    terminal = Terminal()
    assert terminal.run([*LUTE, "run", "Print", "-c", "config.yaml"], tells) == 0
    assert terminal.screen()[-2:] == ["done    ok 9", ""]


def test_nothing_is_drawn_with_q(tells: Project) -> None:
    """B: `-q` shows neither log nor bar."""
    tells.config(f"Tell: {{code: {json.dumps(TALK)}}}")
    terminal = Terminal()
    assert terminal.run([*LUTE, "run", "Tell", "-c", "config.yaml", "-q"], tells) == 0
    assert terminal.seen == b""


@pytest.mark.parametrize("dumb", [True, False])
def test_nothing_is_drawn_where_it_cannot_be_taken_away(tells: Project, dumb: bool) -> None:
    """B: bars only on a terminal, and one that can erase."""
    tells.config(f"Tell: {{code: {json.dumps(TALK)}}}")
    lines = [f"line {i}" for i in range(0, 40, 4)]
    if dumb:
        tells.env["TERM"] = "dumb"
        terminal = Terminal()
        assert terminal.run([*LUTE, "run", "Tell", "-c", "config.yaml"], tells) == 0
        assert terminal.seen.decode() == "".join(f"{line}\r\n" for line in lines)
    else:
        assert tells.lute("run", "Tell", "-c", "config.yaml").err.splitlines() == lines


ALONE = """
import tasks
from lute import AnalysisHeader
params = tasks.TellParameters(lute_config=AnalysisHeader(), code="self.report_progress(1, 4); self.log_metric('n', 5)")
task = tasks.Tell(params=params)
task.run()
assert task.metrics == {"n": {"value": 5, "unit": ""}}
"""


def test_outside_an_executor(tells: Project) -> None:
    """A2: without an Executor progress is shown on a terminal, and metrics are kept on the Task."""
    outcome = python(tells, ALONE, env={"PYTHONPATH": str(tells.folder)})
    assert (outcome.code, outcome.err) == (0, ""), outcome
    terminal = Terminal()
    tells.env["PYTHONPATH"] = str(tells.folder)
    assert terminal.run([sys.executable, str(tells.folder / "script.py")], tells) == 0
    assert terminal.screen() == ["1/4 (25 %)", ""]
