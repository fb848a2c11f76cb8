"""What SPEC says in half a sentence of Tasks, hooks, timers, scripts and environments, each as somebody met it."""

from __future__ import annotations

import json
from textwrap import dedent

import pytest

from conftest import Outcome, Project
from process.helpers import python
from process.test_executor import PLUGIN

TWICE = """
    import json, signal, sys, time
    from lute import Task, TaskParameters
    from lute.models.base import AnalysisHeader

    class Quick(Task):
        def _run(self):
            pass

    def quick(seconds):
        return Quick(params=TaskParameters(lute_config=AnalysisHeader(task_timeout=seconds, work_dir=".")))

    def armed():
        return round(signal.getitimer(signal.ITIMER_REAL)[0])
"""


@pytest.fixture
def lab(project: Project) -> Project:
    """A project with a Task in Python and programs."""
    project.write("tasks.py", PLUGIN)
    project.config()
    return project


def with_plugin(lab: Project, more: str, name: str, yaml: str = "{}", *arguments: str) -> Outcome:
    """Runs a Task or managed Task of a plug-in with something added."""
    lab.write("tasks.py", dedent(PLUGIN) + dedent(more))
    lab.config(yaml)
    return lab.lute("run", name, "-c", "config.yaml", "--json", *arguments)


# -------------------------------------------------------------------------------------------- timers


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_tasks_made_before_another_has_run_have_their_own_timers(lab: Project, order: tuple[str, str]) -> None:
    """A2: timer and handler are undone when `run()` ends; those of a Task that has not ended go on."""
    first, second = order
    script = f"""
    outer = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 500)
    own = signal.getsignal(signal.SIGALRM)
    a, b = quick(30), quick(60)
    seen = [armed()]
    {first}.run(); seen.append(armed())
    {second}.run(); seen.append(armed())
    print(json.dumps([seen, signal.getsignal(signal.SIGALRM) is own]))
    """
    outcome = python(lab, dedent(TWICE) + dedent(script))
    assert outcome.code == 0, outcome
    assert json.loads(outcome.out) == [[60, 60 if first == "a" else 30, 500], True]


def test_without_an_executor_the_timeout_ends_the_program(lab: Project) -> None:
    """A3: the timeout also ends the program that replaced the Task."""
    script = dedent(TWICE) + dedent(
        """
        from lute import Field, ThirdPartyParameters, ThirdPartyTask

        class SleepParameters(ThirdPartyParameters):
            executable: str = "sleep"
            seconds: str = Field("60", flag_type="")

        class Sleep(ThirdPartyTask):
            pass

        Sleep(params=SleepParameters(lute_config=AnalysisHeader(task_timeout=1, work_dir="."))).run()
        """
    )
    outcome = python(lab, script, timeout=30)
    assert outcome.code == -14, outcome  # SIGALRM


# ---------------------------------------------------------------------------------- messages and hooks


def test_a_task_that_keeps_its_start_to_itself_runs(lab: Project) -> None:
    """A2: subclasses may override `_report_to_executor`; a start that the Executor never hears of is not waited for."""
    more = """
    class Mute(Task):
        def _report_to_executor(self, msg):
            if msg.signal != "TASK_STARTED":
                super()._report_to_executor(msg)

        def _run(self):
            self._result.payload = "done"

    class MuteParameters(TaskParameters):
        pass
    """
    outcome = with_plugin(lab, more, "Mute", "{}", "-s", "task_timeout=20")
    assert (outcome.code, outcome.json["status"], outcome.json["payload"]) == (0, "COMPLETED", "done"), outcome


HOOKS = """
    class BareParameters(ThirdPartyParameters):
        executable: str

    class OwnBareParameters(BareParameters):
        pass

    class OwnBare(ThirdPartyTask):
        pass

    def note(executor, msg, proc):
        result = msg.contents.task_status.name if msg.signal == "TASK_RESULT" else None
        with open("notes", "a") as file:
            file.write(repr([msg.signal, hasattr(proc, "kill"), isinstance(proc.pid, int), result]) + "\\n")

    Plain, Own = Executor("Bare"), Executor("OwnBare")
    for one in (Plain, Own):
        for event in ("TASK_STARTED", "NO_PICKLE_MODE", "TASK_RESULT"):
            one.add_hook(event, note)
"""


@pytest.mark.parametrize("executable", ["true", "no-such-program"])
def test_a_plain_program_raises_what_one_with_a_class_does(lab: Project, executable: str) -> None:
    """A3: the same events in the same order, also of a program that cannot be started; A4: hooks are given `proc`."""
    heard = {}
    for name, task in (("Plain", "Bare"), ("Own", "OwnBare")):
        yaml = json.dumps({task: {"executable": executable}})
        outcome = with_plugin(lab, HOOKS, name, yaml)
        assert outcome.json["status"] == ("COMPLETED" if executable == "true" else "FAILED"), outcome
        notes = lab.folder / "notes"
        lines = [eval(line) for line in notes.read_text().splitlines()]
        notes.unlink()
        assert all(has_proc for _, has_proc, _, _ in lines)
        assert all(has_pid for event, _, has_pid, _ in lines if event == "NO_PICKLE_MODE" and executable == "true")
        summary = outcome.json["summary"]
        heard[name] = [(event, result) for event, _, _, result in lines], summary.partition(":")[0]
    assert heard["Plain"] == heard["Own"]


def test_a_template_that_cannot_be_written(lab: Project) -> None:
    """A3: also here a plain program raises what one with a class does, and names the same error in its summary."""
    more = """
    from lute import TemplateConfig, TemplateParameters

    class TemplatedParameters(BareParameters):
        executable: str = "true"
        lute_template_cfg: TemplateConfig = TemplateConfig(template_name="t.txt", output_path="no/such/folder/t.txt")
        word: TemplateParameters = TemplateParameters("x")

    class OwnTemplatedParameters(TemplatedParameters):
        pass

    class OwnTemplated(ThirdPartyTask):
        pass

    Plain, Own = Executor("Templated"), Executor("OwnTemplated")
    for one in (Plain, Own):
        for event in ("TASK_STARTED", "NO_PICKLE_MODE", "TASK_RESULT"):
            one.add_hook(event, note)
    """
    lab.write("templates/t.txt", "{{ word }}\n")
    heard = {}
    for name in ("Plain", "Own"):
        outcome = with_plugin(lab, dedent(HOOKS) + dedent(more), name)
        assert outcome.json["status"] == "FAILED", outcome
        notes = lab.folder / "notes"
        events = [eval(line)[0::3] for line in notes.read_text().splitlines()]
        notes.unlink()
        heard[name] = events, outcome.json["summary"].replace(f"{lab.folder}/", "")
    assert heard["Plain"] == heard["Own"]


@pytest.mark.parametrize("event", [None, 3, [], "NO_SUCH"])
def test_what_is_no_event(lab: Project, event: object) -> None:
    """A4: an unknown event raises ValueError."""
    script = f"""
    from lute import Executor
    try:
        Executor("Echo").add_hook({event!r}, print)
    except ValueError as error:
        print(error)
    """
    assert f"there is no event {event!r}" in python(lab, dedent(script)).out


def test_what_a_tasklet_gave_before_stands(lab: Project) -> None:
    """A4: a tasklet `before` with `set_result` and `set_summary` counts where the Task gives none; its name is `fn`."""
    more = """
    class Silent(Task):
        def _run(self):
            pass

    class SilentParameters(TaskParameters):
        pass

    T = Executor("Silent")
    T.add_tasklet(fn=lambda: {"given": 1}, args=[], when="before", set_result=True)
    T.add_tasklet(fn=lambda: "told before", args=[], when="before", set_summary=True)
    """
    outcome = with_plugin(lab, more, "T")
    assert (outcome.json["payload"], outcome.json["summary"]) == ({"given": 1}, "told before"), outcome


def test_a_failure_passes_between_processes(lab: Project) -> None:
    """A4: `TaskFailed` carries the analysis, also out of a pool of processes."""
    script = """
    import pickle
    import tasks
    from lute import Executor, TaskFailed
    try:
        Executor("Py").execute_task("config.yaml")
    except TaskFailed as error:
        again = pickle.loads(pickle.dumps(error))
        print(str(again) == str(error), again.analysis.task_result.task_status.name)
    """
    lab.config("Py: {code: 'raise SystemExit(3)'}")
    assert python(lab, dedent(script)).out.splitlines()[-1] == "True FAILED"


# ------------------------------------------------------------------------------------- environments


@pytest.mark.parametrize("task", ["Echo", "Py"])
def test_a_script_is_the_one_that_was_named(lab: Project, task: str) -> None:
    """A4: the Task runs in the environment that the script leaves: no other's on PATH, and no option of bash."""
    for name, value in (("bin/s.sh", "other"), ("s.sh", "right"), ("-x.sh", "dashed")):
        lab.write(name, f"export SEEN_A={value} PATH=/nowhere\n")
    more = f"""
    E, F = Executor({task!r}), Executor({task!r})
    E.shell_source("s.sh")
    F.shell_source("-x.sh")
    """
    yaml = json.dumps({"Py": {"code": "print()"}})
    for name, value in (("E", "right"), ("F", "dashed")):
        lab.write("tasks.py", dedent(PLUGIN) + dedent(more))
        lab.config(yaml)
        path = f"{lab.folder}/bin:{lab.env['PATH']}"
        outcome = lab.lute("run", name, "-c", "config.yaml", "--json", env={"PATH": path})
        assert outcome.json["environment"]["SEEN_A"] == value, outcome
        assert outcome.json["status"] == "COMPLETED", outcome


def test_time_zone_and_warnings_of_the_environment_count(lab: Project) -> None:
    """A4: the Task runs in its environment: what Python reads of it at its start counts for a forked Task too."""
    more = """
    import time, warnings

    class Where(Task):
        def _run(self):
            self._result.payload = time.timezone
            warnings.warn("told", UserWarning)

    class WhereParameters(TaskParameters):
        pass

    Far = Executor("Where")
    Far.update_environment({"TZ": "Asia/Tokyo"})
    """
    outcome = with_plugin(lab, more, "Far")
    assert outcome.json["payload"] == -9 * 3600, outcome
    failed = lab.lute("run", "Where", "-c", "config.yaml", "--json", env={"PYTHONWARNINGS": "error::UserWarning"})
    assert failed.json["summary"] == "UserWarning: told", failed


def test_an_empty_result_from_params_is_none(lab: Project) -> None:
    """A4: the payload is `result_from_params` if set, else the field marked as the result; old models have "" there."""
    more = """
    class Old(Task):
        def _run(self):
            pass

    class OldParameters(TaskParameters):
        class Config:
            set_result = True
            result_from_params = ""

        out: str = Field("made.txt", is_result=True)
    """
    assert with_plugin(lab, more, "Old").json["payload"] == "made.txt"
