"""Everything `lute` raises on purpose, one tree:

    LuteError
    ├── UsageError                what was asked for cannot be done as asked; nothing was started
    │   ├── ConfigError           a YAML file or a value in it; carries every problem found
    │   ├── ModelError            a parameter model that cannot work
    │   ├── NotKeptError          a value that the record could not keep as it was
    │   ├── PluginError           a plug-in that cannot be loaded
    │   ├── SubstitutionError     a `{{ name }}` or a dotted path that cannot be read
    │   ├── TaskNotFoundError     no Task, model or managed Task of that name
    │   ├── TemplateError         a template or one of its variables is missing
    │   └── WorkflowError         a workflow that cannot run: a step that is not there, a circle
    ├── OutputError               what was asked for was done, and could not be told on standard output
    ├── TaskFailed                a Task ended in any way but COMPLETED; carries its DescribedAnalysis
    ├── TaskTimedOut              a Task that runs without an Executor used up its time
    ├── LaunchError               the process of a Task could not be started
    ├── ProtocolError             bytes on a channel that are no message
    ├── RecordError               the record cannot be read or written
    ├── ElogError                 the eLog did not take a post, or did not answer a question
    └── SchedulerError            a batch system refused a job, or did not answer
        ├── SchedulerBusyError    it takes no more jobs of this user until others have ended
        └── SlurmError            Slurm did

Exit codes are chosen in `lute.cli` and `lute.tasks.__main__` alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterable, NamedTuple, Optional, Union

if TYPE_CHECKING:
    from lute.wire.results import DescribedAnalysis


class LuteError(Exception):
    """The root of the tree."""


class UsageError(LuteError):
    """What was asked for cannot be done as asked; nothing was started."""


class OutputError(LuteError):
    """What was asked for was done, and could not be told on standard output."""


class ModelError(UsageError, ValueError):
    """A parameter model that cannot work, found when its class is made."""


class NotKeptError(UsageError):
    """A value that the record could not keep, and so cannot give as it was."""


class PluginError(UsageError):
    """A plug-in that cannot be loaded."""


class SubstitutionError(UsageError, ValueError):
    """A `{{ name }}` that cannot be substituted, or a dotted path that cannot be read.

    Attributes:
        path: Where in the value it is.
    """

    path: tuple[Union[str, int], ...] = ()


class TaskNotFoundError(UsageError):
    """No Task, parameter model or managed Task of that name."""


class TemplateError(UsageError):
    """A template, or a variable that it uses, is missing."""


class WorkflowError(UsageError):
    """A workflow that cannot run, found before anything starts."""


class Problem(NamedTuple):
    """One thing wrong in a YAML file: where, and what to do about it."""

    file: str
    line: Optional[int]
    column: Optional[int]
    message: str

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        return f"{place}: {self.message}" if place else self.message


class ConfigError(UsageError, ValueError):
    """All the problems found in a YAML file, as a list in `problems`."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class TaskFailed(LuteError):
    """A Task ended in any way but COMPLETED. `analysis` is its `DescribedAnalysis`."""

    def __init__(self, message: str, analysis: DescribedAnalysis) -> None:
        super().__init__(message)
        self.analysis = analysis

    def __reduce__(self) -> tuple[type[TaskFailed], tuple[str, DescribedAnalysis]]:
        """Lets it pass between processes, as from a pool of them."""
        return type(self), (str(self), self.analysis)


class TaskTimedOut(LuteError, TimeoutError):
    """A Task that runs without an Executor used up its time."""


class LaunchError(LuteError):
    """The process of a Task could not be started."""


class ProtocolError(LuteError):
    """Bytes on a channel that are no message."""


class RecordError(LuteError):
    """The record cannot be read or written."""


class SchedulerError(LuteError):
    """A batch system refused a job, or did not answer; the text is its own."""


class SchedulerBusyError(SchedulerError):
    """A batch system takes no more jobs of this user until some of those that it has have ended."""


class SlurmError(SchedulerError):
    """Slurm refused a job, or did not answer; the text is Slurm's own."""


class ElogError(LuteError):
    """The eLog did not take a post, or did not answer a question.

    Attributes:
        final: Whether it would be the same the next time: the eLog was reached and said no.
        retry_after: Time that the eLog asks to be left alone, in s; None if it does not say.
    """

    def __init__(self, message: str, *, final: bool = False, retry_after: Optional[float] = None) -> None:
        super().__init__(message)
        self.final, self.retry_after = final, retry_after


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> Optional[str]:
    """Returns the known name closest to a misspelt or shortened one, or None.

    >>> nearest("treshold", ["threshold", "radius"])
    'threshold'
    """
    import difflib  # only where something is misspelt

    names = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), list(names), n=1, cutoff=cutoff)
    if not close and len(name) > 2:
        close = [candidate for candidate in names if candidate.startswith(name.lower())][:1]
    return names[close[0]] if close else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns `" Did you mean 'x'?"`, or nothing when no known name is close."""
    close = nearest(name, known)
    return f" Did you mean {close!r}?" if close else ""
