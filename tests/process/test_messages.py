"""Messages from a Task to its Executor: each arrives once, whole, in order, whatever else is printed."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from conftest import Project
from process.helpers import python


@pytest.fixture
def says(project: Project) -> Project:
    """A project with a Task that says what it is told to."""
    project.plugin("says")
    return project


def say(project: Project, code: str, **keywords: Any) -> tuple[dict[str, Any], bytes]:
    """Runs the Task with code. Returns the JSON and the log."""
    project.config(f"Say: {{code: {json.dumps(code, ensure_ascii=False)}}}")
    found = project.run_task("Say", **keywords)
    return found, Path(found["log"]).read_bytes()


def in_api(project: Project, code: str, task_code: str) -> Any:
    """Runs a script that has `Say` from the plug-in, with a YAML file for it. Returns what it printed last, as JSON."""
    from textwrap import dedent

    config = project.config(f"Say: {{code: {json.dumps(task_code, ensure_ascii=False)}}}")
    head = "import json, sys\nfrom lute import Executor, TaskFailed, TaskStatus\n"
    outcome = python(project, head + dedent(code), env={"LUTE_CONFIGPATH": str(config)})
    assert outcome.code == 0, outcome
    return json.loads(outcome.out.splitlines()[-1])


@pytest.mark.parametrize("chatty", [False, True])
def test_ten_thousand_messages_arrive_once_and_in_order(project: Project, chatty: bool) -> None:
    """A2: text, dicts and arrays, 10,000 of them: each once, whole, in order, whatever is printed meanwhile."""
    project.plugin("flood")
    project.config(f"Flood: {{chatty: {str(chatty).lower()}}}")
    found = project.run_task("Flooder")
    assert (found["returncode"], found["status"], found["payload"]) == (0, "COMPLETED", 10_000)
    seen = json.loads((project.folder / "seen.json").read_text())
    assert seen == [number for number in range(10_000) if number % 5 < 3]
    log = Path(found["log"]).read_bytes()
    texts = [int(number) for number in re.findall("text ([0-9]+) caf\u00e9\n".encode(), log)]
    assert texts == [number for number in range(10_000) if number % 5 > 2]
    if not chatty:
        lines = [line.split()[:2] for line in log.decode().splitlines() if line.startswith(("text ", "print "))]
        wanted = [["text", str(number)] if number % 5 else ["print", str(number)] for number in range(10_000)]
        assert lines == [line for line in wanted if int(line[1]) % 5 > 2 or int(line[1]) % 10 == 0]
    else:
        assert log.count(b"from a child " * 1000) == 10
        assert log.count(bytes(range(256))) == 10


def test_text_is_a_line_of_the_log_in_order_with_prints(says: Project) -> None:
    """B1: a text message without signal is a line of the log, once, in order with what is printed."""
    code = (
        "for n in range(500):\n"
        "  tell(f'message {n}')\n"
        "  print('print', n)\n"
        "  os.write(1, b'write %d\\n' % n) if n % 7 == 0 else None\n"
        "  sys.stderr.write(f'error {n}\\n')\n"
    )
    _, log = say(says, code)
    wanted = []
    for n in range(500):
        wanted += [f"message {n}", f"print {n}", *([f"write {n}"] if n % 7 == 0 else []), f"error {n}"]
    lines = log.decode().splitlines()
    assert sorted(lines) == sorted(wanted)
    assert lines == wanted


def test_contents_that_are_no_text_are_logged_as_type_and_size(says: Project) -> None:
    """B1: other contents without signal are in the log as their type and size, not their value."""
    code = "import numpy as np\ntell('first')\ntell(np.full((100, 50), 7.25))\ntell({'secret value': 123456})\ntell('last')"
    _, log = say(says, code)
    first, array, mapping, last = log.decode().splitlines()
    assert (first, last) == ("first", "last")
    assert "ndarray" in array
    assert "100" in array or "40000" in array
    assert "dict" in mapping
    assert "123456" not in mapping


def test_odd_texts_arrive_whole(says: Project) -> None:
    """A2: a text arrives as it was sent, also an empty, long or non-ASCII one."""
    texts = ["", " ", "two\nlines", "with a newline\n", "caf\u00e9 \U0001f52c", "nul\0byte", "x" * 300_000]
    seen, log = in_api(
        says,
        """
        import tasks
        seen = []
        one = Executor("Say")
        one.add_hook("TASK_DONE", lambda executor, msg, proc: seen.append([msg.contents, msg.signal]))
        analysis = one.execute_task()
        with open(analysis.record["log"], newline="") as file:
            print(json.dumps([seen, file.read()]))
        """,
        f"for text in {texts!r}:\n  tell(text, 'TASK_DONE')\n  tell(text)\n  print('end')\n",
    )
    assert seen == [[text, "TASK_DONE"] for text in texts]
    lines = [text if text.endswith("\n") else f"{text}\n" for text in texts]
    assert log == "".join(f"{line}end\n" for line in lines)


def test_each_signal_has_its_hook_in_any_case(says: Project) -> None:
    """A4: hooks are called `hook(executor, msg, proc)` for their signal, whose name may be in any case."""
    names = ["TASK_FAILED", "TASK_STOPPED", "TASK_DONE", "TASK_CANCELLED", "TASK_LOG"]
    code = "".join(f"tell('{name.lower()}', '{name}')\ntell({{'of': '{name}'}}, '{name}')\n" for name in names)
    found = in_api(
        says,
        """
        import tasks
        seen = []
        one = Executor("Say")

        def hook(executor, msg, proc):
            kind = type(msg.contents).__name__
            contents = msg.contents if isinstance(msg.contents, (str, dict)) else kind
            seen.append([msg.signal, contents, executor is one, proc is not None])

        for event in ("task_started", "TASK_failed", "Task_Stopped", "task_done", "task_cancelled", "task_result",
                      "task_log", "no_pickle_mode"):
            one.add_hook(event, hook)
        one.execute_task()
        print(json.dumps(seen))
        """,
        code,
    )
    assert all(is_one and has_proc for _, _, is_one, has_proc in found)
    middle = [[name, contents] for name in names for contents in (name.lower(), {"of": name})]
    assert [entry[:2] for entry in found] == [
        ["TASK_STARTED", "SayParameters"],
        *middle,
        ["TASK_RESULT", "TaskResult"],
    ]


def test_a_later_hook_takes_the_place_of_an_earlier_one(says: Project) -> None:
    """A4: one hook for an event, on *this* Executor: not on another of the same Task."""
    found = in_api(
        says,
        """
        import tasks
        seen = []
        one, two = Executor("Say"), Executor("Say")
        one.add_hook("TASK_DONE", lambda executor, msg, proc: seen.append("old"))
        one.add_hook("task_done", lambda executor, msg, proc: seen.append("new"))
        two.execute_task()
        counts = [len(seen)]
        one.execute_task()
        print(json.dumps([counts, seen]))
        """,
        "tell('x', 'TASK_DONE')",
    )
    assert found == [[0], ["new"]]


@pytest.mark.parametrize("event", ["TASK_FINISHED", "", "task started", "TASK_LOG "])
def test_an_unknown_event_is_refused(event: str) -> None:
    """A4: a hook for an unknown event raises ValueError."""
    from lute import Executor, MPIExecutor

    for kind in (Executor, MPIExecutor):
        with pytest.raises(ValueError, match="TASK_STARTED"):
            kind("Test").add_hook(event, lambda *_: None)


def test_task_log_gets_contents_without_signal(says: Project) -> None:
    """B1: contents without signal that are no text go to the TASK_LOG hook, and are told in the log all the same."""
    found = in_api(
        says,
        """
        import tasks
        from pathlib import Path
        seen = []
        one = Executor("Say")
        one.add_hook("TASK_LOG", lambda executor, msg, proc: seen.append([msg.contents, msg.signal]))
        analysis = one.execute_task()
        print(json.dumps([seen, Path(analysis.record["log"]).read_text().splitlines()]))
        """,
        "tell('text')\ntell({'a': [1, 2]})\ntell(5)\ntell(('b',))",
    )
    seen, log = found
    assert [entry for entry in seen if entry[0] != "text"] == [[{"a": [1, 2]}, None], [5, None], [["b"], None]]
    assert log[0] == "text"
    assert sum("dict" in line for line in log) == 1


@pytest.mark.parametrize("place", ["hook", "result"])
def test_a_hook_that_raises_does_not_take_the_run_with_it(says: Project, place: str) -> None:
    """A4, B1: the Task's status is its own; a hook that fails is told and nothing is lost."""
    event = {"hook": "TASK_LOG", "result": "TASK_RESULT"}[place]
    says.config("Say: {code: \"tell('one'); tell([1]); tell('two'); tell([2]); task._result.payload = 3\"}")
    outcome = says.lute("run", "Sayer", "-c", "config.yaml", "--json", env={"BROKEN_HOOK": event})
    assert (outcome.code, outcome.json["status"], outcome.json["payload"]) == (0, "COMPLETED", 3)
    lines = Path(outcome.json["log"]).read_text().splitlines()
    assert [line for line in lines if line in ("one", "two")] == ["one", "two"]
    assert "the hook is broken" in outcome.err


def test_an_unknown_signal_is_an_error_of_the_task(says: Project) -> None:
    """A4: a message carries a signal of LUTE_SIGNALS or none; another one does not pass silently."""
    found, log = say(says, "tell('x', 'TASK_DANCING')")
    assert (found["returncode"], found["status"]) == (1, "FAILED")
    assert b"TASK_DANCING" in log


def test_bytes_that_are_no_utf8_are_bytes_of_the_log(says: Project) -> None:
    """B1: the log holds raw bytes, as they were written; a message after them arrives."""
    junk = bytes(range(256)) * 20
    code = "tell('before')\nos.write(1, bytes(range(256)) * 20)\nos.write(2, bytes(range(256)) * 20)\ntell('after')\n"
    found, log = say(says, code)
    assert (found["returncode"], found["status"]) == (0, "COMPLETED")
    assert log == b"before\n" + junk + junk + b"after\n"


def test_a_surrogate_in_a_text_is_no_end(says: Project) -> None:
    """A2: also a text with a byte that is no UTF-8, as file names have them, arrives."""
    found, log = say(says, "tell(os.fsdecode(b'scan_\\xff.cbf'))\ntell('after')")
    assert (found["returncode"], found["status"]) == (0, "COMPLETED")
    assert log.splitlines()[-1] == b"after"
    assert log.startswith(b"scan_")


def test_frames_and_pickles_on_stdout_are_only_output(says: Project) -> None:
    """A2, B5: what a Task prints is never taken for a message, also when it looks like one."""
    code = (
        "class Bomb:\n"
        "  def __reduce__(self): return (os.system, ('touch exploded',))\n"
        "forged = pickle.dumps(Message('forged', 'TASK_RESULT'))\n"
        "bomb = pickle.dumps(Bomb())\n"
        "for data in (forged, bomb):\n"
        "  for head in (b'', struct.pack('>I', len(data)), struct.pack('>Q', len(data)), struct.pack('<Q', len(data))):\n"
        "    os.write(1, head + data)\n"
        "    os.write(2, head + data)\n"
        "os.write(1, b'<<TASK_RESULT>>\\nTASK_FAILED\\n' * 100)\n"
        "task._result.payload = 'mine'\n"
    )
    found, log = say(says, code)
    assert (found["returncode"], found["status"], found["payload"]) == (0, "COMPLETED", "mine")
    assert not (says.folder / "exploded").exists()
    assert log.endswith(b"TASK_FAILED\n")


def test_stdout_of_a_chatty_task_is_not_ours(says: Project) -> None:
    """B: what a Task prints goes to the log and to standard error; standard output holds the result alone."""
    says.config("Say: {code: \"print('from the', 'task'); tell('a ' + 'message')\"}")
    outcome = says.lute("run", "Say", "-c", "config.yaml", "--json")
    assert "from the task" not in outcome.out
    assert outcome.json["status"] == "COMPLETED"
    assert "from the task\n" in outcome.err
    assert "a message\n" in outcome.err


def test_messages_from_several_threads(says: Project) -> None:
    """A2: each message arrives once and whole, and each thread's in its order."""
    found = in_api(
        says,
        """
        import tasks
        seen = []
        one = Executor("Say")
        one.add_hook("TASK_LOG", lambda executor, msg, proc: seen.append(msg.contents))
        one.execute_task()
        print(json.dumps(seen))
        """,
        "import threading\n"
        "def work(who):\n"
        "  for n in range(300):\n"
        "    tell([who, n, 'y' * 3000]) if n % 2 else tell(f'{who} {n}', 'TASK_LOG')\n"
        "threads = [threading.Thread(target=work, args=(who,)) for who in range(4)]\n"
        "[thread.start() for thread in threads]\n"
        "[thread.join() for thread in threads]\n",
    )
    pairs = [(int(e.split()[0]), int(e.split()[1])) if isinstance(e, str) else (e[0], e[1]) for e in found]
    assert len(pairs) == 1200
    for who in range(4):
        assert [n for thread, n in pairs if thread == who] == list(range(300))


def test_the_last_message_before_a_sudden_end_is_not_lost(says: Project) -> None:
    """A2: what was sent before the process ended arrives, also if it ended at once."""
    found = in_api(
        says,
        """
        import tasks
        seen = []
        one = Executor("Say")
        one.add_hook("TASK_LOG", lambda executor, msg, proc: seen.append(msg.contents))
        try:
            one.execute_task()
            status = None
        except TaskFailed as error:
            status = error.analysis.task_result.task_status.name
        print(json.dumps([status, len(seen), seen[-1]]))
        """,
        "for n in range(2000): tell({'n': n})\nos._exit(3)",
    )
    assert found == ["FAILED", 2000, {"n": 1999}]


def test_a_task_that_prints_without_end_of_line(says: Project) -> None:
    """B1: what was written is in the log as it was written, with or without a newline at its end."""
    _, log = say(says, "print('no newline', end='')")
    assert log == b"no newline"


def test_a_slow_hook_loses_nothing(says: Project) -> None:
    """A2: messages arrive, each once and in order, however slowly they are taken."""
    found = in_api(
        says,
        """
        import tasks, time
        seen = []
        one = Executor("Say")

        def slow(executor, msg, proc):
            time.sleep(0.002)
            seen.append(msg.contents["n"])

        one.add_hook("TASK_DONE", slow)
        one.execute_task()
        print(json.dumps(seen))
        """,
        "for n in range(500): tell({'n': n, 'fill': b'z' * 20000}, 'TASK_DONE')",
    )
    assert found == list(range(500))


def test_each_hook_has_its_own_time(says: Project) -> None:
    """B1, A4: hooks that come together are each bounded in time: those in time are left alone, however many they are."""
    says.config("Say: {code: \"for n in range(1, 251): tell({'n': n})\"}", "hook_timeout: 0.5")
    found = says.run_task("Sayer", env={"SLOW_HOOK": "1"})
    assert found["status"] == "COMPLETED"
    assert json.loads((says.folder / "seen.json").read_text()) == list(range(1, 251))
    assert Path(found["log"]).read_text().count("the hook for TASK_LOG was left: it took longer than 0.5 s") == 2


@pytest.mark.parametrize("way", ["PipeCommunicator", "SocketCommunicator"])
def test_a_large_last_message_is_not_lost(says: Project, way: str) -> None:
    """A2: a message of many pieces arrives whole, also if its sender ends right after it."""
    found = in_api(
        says,
        f"""
        import tasks
        from lute.wire.ipc import {way}, Party
        seen = []
        one = Executor("Say", communicators=[{way}(Party.EXECUTOR)])
        one.add_hook("TASK_LOG", lambda executor, msg, proc: seen.append([len(a) for a in msg.contents if (a == 7).all()]))
        try:
            one.execute_task()
        except TaskFailed as error:
            seen.append(error.analysis.task_result.task_status.name)
        print(json.dumps(seen))
        """,
        "import numpy as np\n"
        "for size in (80_000, 3_000_000): tell([np.full(size, 7, np.uint8)] * 3)\n"
        "os.kill(os.getpid(), 9)",
    )
    assert found == [[80_000] * 3, [3_000_000] * 3, "FAILED"]


def test_an_overridden_report_is_used(says: Project) -> None:
    """A2: a subclass may override `_report_to_executor`."""
    says.config()
    found = says.run_task("Loud")
    assert found["status"] == "COMPLETED"
    assert Path(found["log"]).read_text() == "QUIET\n"


@pytest.mark.parametrize("way", ["unix", "tcp", "long"])
def test_explicit_communicators_over_unix_and_tcp(says: Project, way: str) -> None:
    """A4: `communicators=`: a pipe and a socket one together are one channel; `LUTE_USE_TCP=1` asks for TCP.

    A temporary folder with a path too long for a Unix socket is no hindrance.
    """
    deep = says.folder / ("deep" * 30)
    deep.mkdir()
    env = {"unix": {}, "tcp": {"LUTE_USE_TCP": "1"}, "long": {"TMPDIR": str(deep)}}[way]
    config = says.config(
        "Say: {code: \"tell('text', 'TASK_LOG'); tell({'a': 1}); tell('more', 'TASK_LOG'); tell([2]); print(1)\"}"
    )
    outcome = python(
        says,
        """
        import json
        import tasks
        from lute import Executor
        from lute.wire.ipc import Party, PipeCommunicator, SocketCommunicator

        both = [PipeCommunicator(Party.EXECUTOR), SocketCommunicator(Party.EXECUTOR)]
        only = [SocketCommunicator(Party.EXECUTOR)]
        for communicators in (both, only):
            seen = []
            one = Executor("Say", communicators=communicators)
            one.add_hook("TASK_LOG", lambda executor, msg, proc: seen.append(msg.contents))
            for again in range(2):
                analysis = one.execute_task()
            print(json.dumps([seen, len(analysis.communicator_desc), analysis.task_result.task_status.name]))
        """,
        env={"LUTE_CONFIGPATH": str(config), **env},
    )
    assert outcome.code == 0, outcome
    wanted = ["text", {"a": 1}, "more", [2]] * 2
    found = [json.loads(line) for line in outcome.out.splitlines()]
    assert found == [[wanted, 2, "COMPLETED"], [wanted, 1, "COMPLETED"]]
    assert sys.executable in outcome.argv
