"""How a run ended -> status and reason; what it gave -> what is kept of it."""

from __future__ import annotations

import functools
import os
import re
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeGuard

from lute.base import procfs
from lute.execution.exit_info import JOB_LIMITS, TASKLET, TIMEOUT, ExitInfo
from lute.execution.keeping import ValueKeeper
from lute.models.base import AnalysisHeader, TaskParameters, result_field, says_no_result
from lute.record.rows import RunFiles
from lute.tasks.program import why_not_started
from lute.tasks.progress import one_line
from lute.wire.channel import OUR_MARK
from lute.wire.encoding import short_description
from lute.wire.pickled import Pickled
from lute.wire.results import DEEPEST_PAGE, ElogSummaryPlots, TaskResult, TaskStatus

if TYPE_CHECKING:
    from lute.record.types import Metric

Judgement = tuple[TaskStatus, str]
"""A status, and the reason for it."""
Verdict = tuple[TaskStatus, str, list[str]]
"""A run's status, the reason for it, and what else there is against it."""


def judge(
    ending: ExitInfo,
    result: TaskResult | None,
    params: TaskParameters,
    *,
    program: bool,
    timeout: float,
    patterns: Sequence[str] = (),
    output: Judgement | None = None,
    metrics: Mapping[str, Metric] = MappingProxyType({}),
    tasklets: Sequence[str] = (),
    last_line: str = "",
    tail: str = "",
) -> Verdict:
    """Returns what a run came to: the first thing that is against it is the reason. Looks at nothing but its arguments.

    The order and examples are in docs/reference/outcome.md.

    Args:
        ending: How its processes ended.
        result: What the Task sent, if it did.
        params: Its parameters.
        program: Whether a program was to be run.
        timeout: The time it had, in s.
        patterns: The failures that its output tells of, as reasons.
        output: The judgement on its declared outputs, if something is wrong with them.
        metrics: Its metrics.
        tasklets: The tasklets that failed and must not, as reasons.
        last_line: The last line that the program printed.
        tail: The end of its log.
    """
    against: list[Judgement] = []
    if ending.stopped_by != TASKLET:
        against += [*_stopped(ending, timeout), *_ended(ending, result, params, program, last_line, tail)]
        against += _own_status(ending, result, program)
    against += [(TaskStatus.FAILED, text) for text in patterns]
    if ending.ran:
        against += [output] if output else []
        against += [(TaskStatus.FAILED, text) for text in _unmet(params, metrics)]
    against += [(TaskStatus.FAILED, text) for text in tasklets]
    if not against:
        return TaskStatus.COMPLETED, _exit_of_program(ending, params) if program else _exited(ending), []
    status, reason = against[0]
    if status is TaskStatus.FAILED and (more := hint(ending, tail)) not in reason:
        reason += more
    return status, reason, [text for _, text in against[1:]]


def _stopped(ending: ExitInfo, timeout: float) -> Iterator[Judgement]:
    if ending.stopped_by == TIMEOUT:
        yield TaskStatus.TIMEDOUT, f"its {timeout:g} s were over"
    elif ending.stopped_by in JOB_LIMITS:
        yield TaskStatus.TIMEDOUT, f"stopped by {ending.stopped_by}"
    elif ending.taken_back:
        yield TaskStatus.CANCELLED, ending.taken_back
    elif ending.stopped_by is not None:
        yield TaskStatus.CANCELLED, f"cancelled by {ending.stopped_by}"


def _ended(
    ending: ExitInfo, result: TaskResult | None, params: TaskParameters, program: bool, last_line: str, tail: str
) -> Iterator[Judgement]:
    """Gives what is bad about the end of its processes: that they did not start, a signal, or an exit status."""
    said = None
    if ending.lost is not None or ending.failed is not None:
        said = ending.lost or ending.failed
    elif ending.out_of_memory:
        said = f"out of memory: the kernel ended it at a peak of {ending.max_rss_kib} KiB"
    elif ending.signal is not None:
        said = f"ended by signal {ending.signal}{', core dumped' if ending.core else ''}"
    elif ending.stopped_by is not None and ending.exit_code is None:  # before it was started
        said = None
    elif _says_how_it_ended(result, program):
        if result.task_status in _GOOD and ending.exit_code != 0:  # else it is as the Task's word is
            said = ending.rank or f"{_exited(ending)} after it had given its result"
    elif not program:
        said = ending.rank or _unprepared(ending) or f"{_exited(ending)} before it gave a result"
    elif ending.exit_code != 0 and ending.exit_code not in params.Config.success_codes:
        said = _failed_exit_of_program(ending, params, last_line, tail)
    if said is not None:
        yield TaskStatus.FAILED, said


_GOOD = (TaskStatus.COMPLETED, TaskStatus.RUNNING)
"""What a Task may say that ended well; the second is sent by hand, with the end still to come."""


def _says_how_it_ended(result: TaskResult | None, program: bool) -> TypeGuard[TaskResult]:
    """Returns whether the Task's word counts; a program's own class says RUNNING before the program runs."""
    return result is not None and (not program or result.task_status is not TaskStatus.RUNNING)


def _own_status(ending: ExitInfo, result: TaskResult | None, program: bool) -> Iterator[Judgement]:
    if not _says_how_it_ended(result, program) or result.task_status in _GOOD:
        return
    status = result.task_status
    if status in (TaskStatus.PENDING, TaskStatus.STOPPED):
        said = f"the Task ended with {status.name} as its status, which is not the status of an end"
        yield TaskStatus.FAILED, said
    elif ending.stopped_by is None or status is not TaskStatus.TIMEDOUT:  # else it says that it was stopped
        said = str(result.summary)
        yield status, f"{said}{ending.place}" if said else f"the Task set its status to {status.name}"


def _unprepared(ending: ExitInfo) -> str | None:
    return f"{ending.unprepared}{ending.place}" if ending.unprepared else None


def _unmet(params: TaskParameters, metrics: Mapping[str, Metric]) -> list[str]:
    if not params.Config.require:
        return []
    from lute.models.requirements import requirements_of, unmet  # most models require nothing

    return unmet(requirements_of(type(params).__name__, params.Config), metrics)


_MISSING_LIBRARY = r"error while loading shared libraries: ([^\s:]+)"


_MPI_SAYS = (
    r"EXIT STRING: (.+)"
    r"|process (rank \d+ .*exited on\s+signal \d+ \(.+?\))"
    r"|\[lute\] (program .* could not be started: .*)"
)
"""How MPICH and Open MPI tell of a rank that a signal ended, and how we tell of one that could not be started."""
_MPI_NOT_STARTED = r"Fatal error in \w*Init"
SHELL_SAYS_KILLED = 128 + signal.SIGKILL
"""The exit status of a shell whose program was ended by SIGKILL."""


def hint(ending: ExitInfo, tail: str) -> str:
    """Returns what an exit status and the end of a log tell besides, as an addition to the reason."""
    missing = re.search(_MISSING_LIBRARY, tail)
    if ending.exit_code == 127 and missing:
        return f": the shared library {missing[1]} is missing. Is LD_LIBRARY_PATH right?"
    if "No space left on device" in tail:
        return ": the disk is full (No space left on device)"
    if ending.exit_code and (said := re.search(_MPI_SAYS, tail)):
        return f": {' '.join((said[1] or said[2] or said[3]).split())}"
    if ending.exit_code and re.search(_MPI_NOT_STARTED, tail):
        return ": MPI could not start: does mpirun belong to the same MPI as the library that the ranks load?"
    if ending.exit_code is not None and 128 < ending.exit_code < 128 + signal.NSIG:
        return f", which is how a shell tells of {procfs.signal_name(ending.exit_code - 128)}"
    return ""


def memory_kills() -> int:
    """Returns how often the kernel's memory killer has struck in this process's cgroup, or else on this host."""
    return _count(_memory_events(), "oom_kill") or 0


@functools.cache
def _memory_events() -> str:
    """Returns the file in which the kernel counts: this process's cgroup's, or else the whole host's."""
    for line in _lines("/proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            file = f"/sys/fs/cgroup{path}/memory.events"
        elif "memory" in controllers.split(","):
            file = f"/sys/fs/cgroup/memory{path}/memory.oom_control"
        else:
            continue
        if _count(file, "oom_kill") is not None:
            return file
    return "/proc/vmstat"


def _lines(path: str) -> list[str]:
    """Returns the lines of one of the kernel's files; read as it is, since this is done for each run."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read().decode().splitlines()
    except OSError:
        return []


def _count(path: str, name: str) -> int | None:
    found = (line.split() for line in _lines(path) if line.startswith(name))
    return next((int(pair[1]) for pair in found if len(pair) == 2 and pair[0] == name), None)


def _exited(ending: ExitInfo) -> str:
    return f"exited with status {ending.exit_code}"


def _exit_of_program(ending: ExitInfo, params: TaskParameters) -> str:
    """Returns a program's exit status and its meaning, if the model has one for it."""
    config = params.Config
    meanings = {int(key): str(text) for key, text in {**config.success_codes, **config.exit_codes}.items()}
    meaning = meanings.get(ending.exit_code) if ending.exit_code is not None else None
    return _exited(ending) + (f": {meaning}" if meaning is not None else "")


def _failed_exit_of_program(ending: ExitInfo, params: TaskParameters, last_line: str, tail: str) -> str:
    """Returns the same with what the log tells besides, and the program's last line, unless that was told by then."""
    more = hint(ending, tail)
    told = more == hint(ending, last_line) != hint(ending, "")
    return _exit_of_program(ending, params) + more + (f": {last_line}" if last_line and not told else "")


_MPI_BOX = re.compile(r"^[=-]{20,}\n(=   BAD TERMINATION|.*\b(mpirun|mpiexec|prterun|prun)\b)", re.MULTILINE)
"""How MPICH and Open MPI begin to tell that a rank has failed."""
_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
"""What tells a terminal of colours."""
_LABELLED = re.compile(r"\[\d+\] (.*)")


def last_line_of(output: str, *, ranks: bool = False, labelled: bool = False) -> str:
    r"""Returns the last line with text that a program printed, at most 200 characters of it; "" if there is none.

    Args:
        output: What stands in the log, or the end of it.
        ranks: Whether MPI ranks printed it, and MPI itself after them.
        labelled: Whether each of their lines begins with the rank's number.

    >>> last_line_of("Sorry: no peaks\n\n[lute] the page could not be written\n")
    'Sorry: no peaks'
    """
    box = _MPI_BOX.search(output) if ranks else None
    lines = re.split(r"[\r\n]", output[: box.start() if box else None])
    if labelled and any(map(_LABELLED.match, lines)):
        lines = [found[1] for found in map(_LABELLED.match, lines) if found]
    printed = (one_line(_CONTROLS.sub("", line)) for line in reversed(lines) if not line.startswith(OUR_MARK))
    return next(filter(None, printed), "")


def not_started(ending: ExitInfo, params: TaskParameters, env: Mapping[str, str]) -> str:
    """Returns why a program could not be started, by what there is where it was looked for."""
    name, path = str(getattr(params, "executable", "")), env.get("PATH", os.defpath)
    return why_not_started(name, ending.errno, ending.failed or "", path)


# ------------------------------------------------------------------------------------ what is kept


def result_from_parameters(result: TaskResult, params: TaskParameters, matches: Mapping[str, list[str]]) -> None:
    """Sets payload, summary and schemas as the model says; a completed Task's own payload stands otherwise.

    Args:
        result: What the Task gave.
        params: Its parameters.
        matches: The files that fit each parameter which is a pattern.
    """
    config = params.Config
    name = result_field(type(params))
    marked = matches.get(name, getattr(params, name)) if name else None
    marked = str(marked) if isinstance(marked, Path) else marked
    if config.impl_schemas is not None:
        result.impl_schemas = config.impl_schemas
    if config.set_result:
        if config.result_from_params is not None and not _is_empty(config.result_from_params):
            result.payload = config.result_from_params
        elif name is not None:
            result.payload = marked
        if config.result_summary is not None:
            result.summary = config.result_summary
    elif name is not None and not says_no_result(type(params)) and _is_empty(result.payload):
        result.payload = marked


def _is_empty(payload: Any) -> bool:
    return isinstance(payload, str) and payload == ""


class ArtifactWriter:
    """Keeps the payload and summary of one run where they can be read back.

    Args:
        files: The run's files.
        header: Says where pages of figures go, and what they are about.
        task: Name of the Task.
        run_id: The run's id.
        originals: What values came as pickles, and as which, by their `id()`.
        told: Returns what stands below figures: texts by name, by a title.
    """

    def __init__(
        self,
        files: RunFiles,
        header: AnalysisHeader,
        task: str,
        run_id: str,
        originals: Mapping[int, Pickled],
        told: Callable[[], Mapping[str, Mapping[str, str]]],
    ) -> None:
        self._told = told
        self._files, self._header, self._task, self._run_id = files, header, task, run_id
        self._written: dict[tuple[str, str], str] = {}
        self.pages: list[str] = []
        self.troubles: list[str] = []
        self._keeper = ValueKeeper(files, originals, self.troubles.append)
        self.run_parameters: dict[str, Any] = {}

    def payload(self, value: Any, levels: int = DEEPEST_PAGE) -> tuple[Any, Any]:
        """Returns what a payload is from now on, and what the record keeps of it."""
        if isinstance(value, ElogSummaryPlots):
            page = self._page(value)
            return page, page
        if type(value) in (tuple, list) and levels and any(isinstance(item, ElogSummaryPlots) for item in value):
            pairs = [self.payload(item, levels - 1) for item in value]
            return type(value)(pair[0] for pair in pairs), [pair[1] for pair in pairs]
        return value, self._keeper.kept(value, "payload")

    def summary(self, value: Any) -> str:
        """Returns a summary as text; figures are written, a dict also becomes run parameters."""
        if isinstance(value, str):
            return value
        if isinstance(value, ElogSummaryPlots):
            return self._page(value)
        if isinstance(value, dict):
            self.run_parameters.update(value)
            return ";".join(f"{key}: {item}" for key, item in value.items())
        if isinstance(value, (list, tuple)):
            return ";".join(text for text in (self.summary(item) for item in value) if text)
        if value is None:
            return ""
        kept = self._keeper.kept(value, "summary")
        is_file = isinstance(kept, dict) and kept.get("path")
        return f"{short_description(value)}, kept in {kept['path']}" if is_file else str(kept)

    def _page(self, plots: ElogSummaryPlots) -> str:
        from lute.publish import report  # most runs have no page
        from lute.tasks import figures

        header, name = self._header, plots.display_name
        try:
            rendered = figures.render(plots)
            same = (name, rendered.html)  # it may be in both payload and summary
            if same not in self._written:
                about = report.About("", self._task, self._run_id, header.experiment, str(header.run))
                path = report.write_page(
                    self._files.plots, report.folder_of(header), name, rendered, about, self._told()
                )
                self._written[same] = str(path)
                self.pages.append(str(path))
            return self._written[same]
        except Exception as error:  # whatever a figure is, it does not decide about the run
            self.troubles.append(f"the page {name!r} could not be written: {error}")
            return ""

    def index(self) -> None:
        """Completes the files, and writes the index of pages anew, if there are new ones."""
        self._keeper.close()
        if not self.pages:
            return
        from lute.publish import report

        try:
            report.write_index(report.folder_of(self._header))
        except OSError as error:
            self.troubles.append(f"the index of the pages of figures could not be written: {error}")
