"""What `lute.airflow` does without Airflow: one `lute` command as a child, whose words go into a log."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Project
from lute.airflow.child import LOGGED, Child
from process.helpers import alive, wait_until

SCRIPT = """
import os, sys
from lute.airflow.child import Child
Child([sys.executable, "-c", "import os, time; print(os.getpid(), file=open('pid', 'w'), flush=True); time.sleep(60)"],
      os.environ, ".", print).run()
"""


def child(code: str, lines: list[str], folder: Path) -> Child:
    """Returns a child that runs a line of Python."""
    return Child([sys.executable, "-c", code], os.environ, str(folder), lines.append)


def test_it_gives_the_exit_code_what_was_printed_and_each_line_that_was_said(tmp_path: Path) -> None:
    """B: standard output is the result, standard error the log, whatever bytes it has; a signal is told as such."""
    lines: list[str] = []
    code = "import os, sys; os.write(2, b'one\\n\\xff\\n\\nlast'); print('result'); sys.exit(3)"
    assert child(code, lines, tmp_path).run() == (3, "result\n")
    assert lines == ["one", "\\xff", "", "last"]
    assert child("import os; os.kill(os.getpid(), 9)", lines, tmp_path).run() == (-9, "")


def test_lines_come_while_it_runs(tmp_path: Path) -> None:
    """Issue 7.3: the log is in Airflow as it grows: the child waits until its first line has arrived."""
    heard = tmp_path / "heard"
    code = f"import os, time\nos.write(2, b'tick\\n')\nwhile not os.path.exists({str(heard)!r}): time.sleep(0.01)"
    one = Child([sys.executable, "-c", code], os.environ, str(tmp_path), lambda line: heard.touch())
    assert one.run() == (0, "")


def test_more_than_fits_into_airflow_s_log_is_read_and_left_out(tmp_path: Path) -> None:
    """B1: a Task that prints much neither stalls nor floods Airflow's log, which says that there is more."""
    lines: list[str] = []
    code = f"import os\nfor i in range(3): os.write(2, b'x' * 999 + b'\\n')\nfor i in range({LOGGED} // 1000 * 2): os.write(2, b'y' * 999 + b'\\n')"
    assert child(code, lines, tmp_path).run()[0] == 0
    assert "no more is copied" in lines[-1]
    assert LOGGED - 2000 <= sum(len(line) + 1 for line in lines[:-1]) <= LOGGED + 2000


def test_it_is_stopped_before_an_exception_goes_on(tmp_path: Path) -> None:
    """Issue 7.3: Airflow's own timeout, an exception in the middle of anything, leaves no process; the end is heard."""
    lines: list[str] = []
    code = (
        "import os, signal, sys, time\nsignal.signal(15, lambda *_: (os.write(2, b'cleaned up\\n'), sys.exit(5)))\n"
        "os.write(2, f'{os.getpid()}\\n'.encode())\ntime.sleep(60)"
    )

    def say(line: str) -> None:
        lines.append(line)
        if len(lines) == 1:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        Child([sys.executable, "-c", code], os.environ, str(tmp_path), say).run()
    assert lines[1:] == ["cleaned up"]
    assert not alive(int(lines[0]))


def test_stop_asks_it_to_end_and_does_nothing_afterwards(tmp_path: Path) -> None:
    """Issue 7.3: cancel on kill."""
    code = "import os, time; os.write(2, b'up\\n'); time.sleep(60)"
    one = Child([sys.executable, "-c", code], os.environ, str(tmp_path), lambda line: one.stop())
    one.stop()  # before it has begun
    assert one.run() == (-signal.SIGTERM, "")
    one.stop()


def test_it_ends_with_the_process_that_started_it(project: Project) -> None:
    """B1: if Airflow's task is killed with SIGKILL, `lute` is asked to end, and then ends what it runs."""
    project.write("parent.py", SCRIPT)
    parent = subprocess.Popen([sys.executable, "parent.py"], cwd=project.folder, env=project.env)
    pid = int(wait_until(lambda: (project.folder / "pid").exists() and (project.folder / "pid").read_text(), "it runs"))
    assert alive(pid)
    parent.kill()
    parent.wait()
    wait_until(lambda: not alive(pid), "it has ended with its parent")


def test_the_package_says_what_is_missing_without_airflow(project: Project) -> None:
    """STYLE: an error says what to type; asking what the package is needs no Airflow."""
    code = "import lute.airflow as a; print(a.get_provider_info()['package-name']); a.LuteStep"
    done = project.run([sys.executable, "-c", code])
    assert done.out == "lute-executor\n"
    assert "pip install 'lute-executor[airflow]'" in done.err
