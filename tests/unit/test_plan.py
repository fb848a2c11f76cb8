"""What is to be run, decided before anything starts: the plan of a program, of a Task, and of what it cannot run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest

from lute import (
    Field,
    Flag,
    MPILauncher,
    MPIRanks,
    Positional,
    Task,
    TaskParameters,
    TemplateConfig,
    ThirdPartyParameters,
    ThirdPartyTask,
)
from lute.errors import TaskNotFoundError, TemplateError, UsageError
from lute.execution.mpi import Ranks
from lute.execution.plan import Plan, Settings, Tasklet, child_command, make_plan
from lute.models.base import AnalysisHeader


class PlannedParameters(ThirdPartyParameters):
    """A program."""

    executable: str = "prog"
    count: Annotated[int | None, Flag("-n")] = None
    text: Annotated[str | None, Positional()] = None


class PlannedTaskParameters(TaskParameters):
    """A Task with code."""

    x: float = 1.5
    place: Path = Path("a")


class PlannedTask(Task):
    """Its code, which is not run here."""

    def _run(self) -> None:
        raise NotImplementedError


class OwnProgramParameters(ThirdPartyParameters):
    """A program with a class of its own."""

    executable: str = "prog"


class OwnProgram(ThirdPartyTask):
    """Its class."""


class PlannedElsewhereParameters(TaskParameters):
    """A Task in a module that another Python loads."""

    class Config:
        """Names the module."""

        task_module = "far_away"

    x: int = 1


class PlannedCodelessParameters(TaskParameters):
    """A model without a Task."""


class PlannedTemplateParameters(ThirdPartyParameters):
    """A program with a configuration file."""

    executable: str = "prog"
    lute_template_cfg: TemplateConfig = Field(TemplateConfig(template_name="some.cfg", output_path="out.cfg"))


class PlannedRanksParameters(ThirdPartyParameters):
    """A program whose parameters say how its ranks are started."""

    executable: str = "prog"
    ranks: Annotated[int | None, MPIRanks()] = None
    starter: Annotated[str | list[str] | None, MPILauncher()] = None


Make = Callable[..., Plan]


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes the plan of a Task, by its name and its parameters, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def make(
        name: str, settings: Settings | None = None, asked: int | None = None, config: Any = None, **parameters: Any
    ) -> Plan:
        params = globals()[f"{name}Parameters"](lute_config=AnalysisHeader(work_dir=str(tmp_path)), **parameters)
        for key, value in (config or {}).items():
            setattr(params.Config, key, value)
        return make_plan(params, name, str(tmp_path / "config.yaml"), settings or Settings(), asked)

    return make


# --------------------------------------------------------------------------------- what is started


def test_a_program_is_started_directly(plan: Make, tmp_path: Path) -> None:
    """A3: a program without code of its own needs no Python: its command line is all there is."""
    made = plan("Planned", count=0, text="a b\né'\"")
    assert made.argv == ["prog", "-n", "0", "a b\né'\""]
    assert made.command == made.argv
    assert (made.program, made.cwd, made.warnings) == (True, str(tmp_path), [])
    assert (made.in_ranks, made.starts_ranks) == (False, False)


def test_a_task_is_started_in_python(plan: Make) -> None:
    """A2: a Task with code runs in a Python, this one unless another is asked for."""
    made = plan("PlannedTask")
    assert made.argv is None
    assert not made.program
    assert made.command == [sys.executable, "-m", "lute.tasks", "PlannedTask"]
    assert made.plain_parameters["x"] == 1.5


def test_a_program_must_have_a_name(plan: Make) -> None:
    """A3: an empty executable is an error of the model that names it."""
    with pytest.raises(UsageError, match="PlannedParameters names no program: give `executable` a value"):
        plan("Planned", executable="")


def test_a_program_with_a_class_of_its_own_is_a_task(plan: Make) -> None:
    """A3: its hooks need Python, so it is not started directly, but it is a program to the judge."""
    made = plan("OwnProgram")
    assert made.argv is None
    assert made.program
    assert made.command[-1] == "OwnProgram"


def test_debugging_before_the_program_needs_python(plan: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A3: with `LUTE_DEBUG_BEFORE_TPP_EXEC` the Task's own process stops before the program."""
    monkeypatch.setenv("LUTE_DEBUG_BEFORE_TPP_EXEC", "1")
    assert plan("Planned").argv is None


def test_a_model_without_code(plan: Make) -> None:
    """A4: a model that is no program and has no Task says what to write."""
    with pytest.raises(TaskNotFoundError, match=r"Add `class PlannedCodeless\(Task\)` with a `_run`"):
        plan("PlannedCodeless")


@pytest.mark.parametrize("parameters", [{"text": "a\0b"}, {"executable": "pr\0og"}])
def test_a_nul_byte_has_no_place_on_a_command_line(plan: Make, parameters: dict[str, str]) -> None:
    """A3: a NUL byte ends an argument for the kernel, so it is refused before anything starts."""
    with pytest.raises(UsageError, match="Planned: a parameter holds a NUL byte"):
        plan("Planned", **parameters)


def test_a_nul_byte_is_a_value_for_a_task(plan: Make) -> None:
    """A2: a Task with code gets its parameters as they are, by no command line."""
    assert plan("OwnProgram", executable="pr\0og").argv is None


# --------------------------------------------------------------------------------- another Python


def test_a_task_module_is_loaded_by_the_other_python(plan: Make) -> None:
    """A2: a Task that names its module is not looked for here, and runs under the interpreter asked for."""
    made = plan("PlannedElsewhere", Settings(interpreter="/opt/python3.9"))
    assert made.command == ["/opt/python3.9", "-m", "lute.tasks", "PlannedElsewhere"]
    assert made.python == "/opt/python3.9"
    assert child_command(made, "job")[0] == "/opt/python3.9"
    assert child_command(made, "job")[-1] == "job"
    assert plan("PlannedElsewhere").python == sys.executable


def test_another_python_needs_a_task_module(plan: Make) -> None:
    """A2: the other Python has no pydantic, so the Task must be in a module that does without."""
    with pytest.raises(UsageError, match=r"PlannedTaskParameters.Config names no task_module"):
        plan("PlannedTask", Settings(interpreter="/opt/python3.9"))


def test_a_program_needs_no_python_and_so_no_task_module(plan: Make) -> None:
    """A3: the interpreter of an Executor means nothing to a program that is started directly."""
    assert plan("Planned", Settings(interpreter="/opt/python3.9")).argv == ["prog"]


# -------------------------------------------------------------------------------- where it runs


def test_the_folder_it_runs_in(plan: Make, tmp_path: Path) -> None:
    """A3: the model's `run_directory`, absolute; without one the folder that `lute` is in."""
    (tmp_path / "inside").mkdir()
    assert plan("Planned", config={"run_directory": "inside"}).cwd == str(tmp_path / "inside")
    assert plan("Planned", config={"run_directory": None}).cwd == str(tmp_path)


def test_a_folder_that_does_not_exist(plan: Make, tmp_path: Path) -> None:
    """A3: the program runs where `lute` is, and a warning says so; a Task's own process warns by itself."""
    made = plan("Planned", config={"run_directory": "none"})
    assert made.cwd == str(tmp_path)
    assert made.warnings == [f"the run_directory none does not exist: Planned runs in {tmp_path}"]
    assert plan("PlannedTask", config={"run_directory": "none"}).warnings == []


# -------------------------------------------------------------------------------------- templates


def test_a_template_is_filled_in(plan: Make, tmp_path: Path) -> None:
    """A3: names that the model does not have are variables of the template, and no arguments."""
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "some.cfg").write_text("n = {{ n }}\n")
    made = plan("PlannedTemplate", n=0)
    assert made.argv == ["prog"]
    assert made.template_values == {"n": 0}
    assert made.rendered_template() == ("n = 0\n", "out.cfg")
    assert plan("PlannedTemplate").rendered_template() is None, "no variables, no file"


def test_a_template_that_is_missing_is_told_when_planning(plan: Make, tmp_path: Path) -> None:
    """A3: before anything starts; but a tasklet that runs before may yet bring the template."""
    with pytest.raises(TemplateError, match=r"template 'some.cfg' was not found"):
        plan("PlannedTemplate", n=0)
    before = Settings(tasklets={"before": (Tasklet(print, []),)})
    assert plan("PlannedTemplate", before, n=0).template_values == {"n": 0}
    after = Settings(tasklets={"after": (Tasklet(print, []),)})
    with pytest.raises(TemplateError):
        plan("PlannedTemplate", after, n=0)


# ------------------------------------------------------------------------------------------ ranks


@pytest.mark.parametrize(
    ("parameters", "of_the_executor", "asked", "wanted"),
    [
        ({}, None, None, Ranks(4)),
        ({"ranks": 2}, None, None, Ranks(2, told=True)),
        ({}, None, 3, Ranks(3, told=True)),
        ({}, Ranks(5), None, Ranks(5)),
        ({}, Ranks(5, told=True), None, Ranks(5, told=True)),
        ({"ranks": 2}, Ranks(5), None, Ranks(2, told=True)),
        ({"ranks": 2}, Ranks(5), 3, Ranks(3, told=True)),
        ({"starter": "my mpirun"}, None, None, Ranks(4, ("my mpirun",))),
        ({"starter": ["srun", "--mpi=pmix"]}, Ranks(5, ("mpiexec",)), None, Ranks(5, ("srun", "--mpi=pmix"))),
        ({"starter": ""}, Ranks(5, ("mpiexec",)), None, Ranks(5, ("mpiexec",))),
        ({}, Ranks(5, label=False), None, Ranks(5, label=False)),
    ],
)
def test_ranks(
    plan: Make,
    monkeypatch: pytest.MonkeyPatch,
    parameters: dict[str, Any],
    of_the_executor: Ranks | None,
    asked: int | None,
    wanted: Ranks,
) -> None:
    """A4: the command line comes before the parameters, these before the Executor, and that before the job."""
    monkeypatch.setenv("SLURM_NTASKS", "4")
    made = plan("PlannedRanks", Settings(ranks=of_the_executor), asked, **parameters)
    assert made.settings.ranks == wanted
    assert made.argv == ["prog"], "they are no arguments of the program"


@pytest.mark.parametrize(("given", "asked"), [(0, None), (-1, None), (2, 0)])
def test_no_ranks_cannot_be_started(plan: Make, given: int, asked: int | None) -> None:
    """A4: 0 is a number that somebody gave, and not "not given"."""
    number = given if asked is None else asked
    with pytest.raises(UsageError, match=f"PlannedRanks: {number} ranks cannot be started: give 1 or more"):
        plan("PlannedRanks", None, asked, ranks=given)


def test_ranks_for_what_is_one_process(plan: Make) -> None:
    """A4: asking for ranks of a Task that has none is an error, not ignored."""
    with pytest.raises(UsageError, match="Planned is one process"):
        plan("Planned", None, 2)
    assert plan("Planned").settings.ranks is None


@pytest.mark.parametrize(
    ("name", "in_ranks", "starts_ranks"),
    [("Planned", False, False), ("PlannedTask", True, False), ("OwnProgram", False, True)],
)
def test_who_starts_the_ranks(plan: Make, name: str, in_ranks: bool, starts_ranks: bool) -> None:
    """A4: each rank runs the Task itself; a program's own class is one process, which starts the ranks."""
    made = plan(name, Settings(ranks=Ranks(2)))
    assert (made.in_ranks, made.starts_ranks) == (in_ranks, starts_ranks)


# --------------------------------------------------------------------------------------- tasklets


def test_the_arguments_of_tasklets_are_filled_in(plan: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A4: `{{ name }}` is a parameter with its type, `{{ lute_config.run }}` the header's, `{{ $VAR }}` a variable."""
    monkeypatch.setenv("SOME_VARIABLE", "a b")
    asked = ["{{ count }}", "n={{ count }}", "{{ lute_config.task_timeout }}", ["{{ $SOME_VARIABLE }}"], 5]
    before = Settings(tasklets={"before": (Tasklet(print, asked, True, False),), "after": (Tasklet(len, []),)})
    made = plan("Planned", before, count=0, text="{{ count }}")
    [first] = made.settings.tasklets["before"]
    assert first == Tasklet(print, [0, "n=0", 600, ["a b"], 5], True, False)
    assert made.settings.tasklets["after"] == (Tasklet(len, []),)
    assert before.tasklets["before"][0].args == asked, "the Executor's own stay for its next run"


def test_a_tasklet_gets_values_of_their_own_type(plan: Make) -> None:
    """A4: a value that is one substitution alone is the parameter itself, and no text made of it."""
    settings = Settings(tasklets={"before": (Tasklet(print, ["{{ place }}"]),)})
    assert plan("PlannedTask", settings).settings.tasklets["before"][0].args == [Path("a")]


def test_braces_in_a_parameter_are_two_characters(plan: Make) -> None:
    """A4: a value is given to a tasklet as it is."""
    settings = Settings(tasklets={"before": (Tasklet(print, ["{{ text }}"]),)})
    assert plan("Planned", settings, text="{{ count }}").settings.tasklets["before"][0].args == ["{{ count }}"]


def test_a_tasklet_that_asks_for_what_there_is_not(plan: Make) -> None:
    """A4: the tasklet and the name are told before anything starts."""
    with pytest.raises(UsageError, match=r"tasklet print: .*coutn"):
        plan("Planned", Settings(tasklets={"before": (Tasklet(print, ["{{ coutn }}"]),)}))
