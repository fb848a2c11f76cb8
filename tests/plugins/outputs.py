"""Programs that write, or say that they do, and one that reads what another wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from lute import Executor, Flag, FromResult, IsResult, Output, Positional, Task, TaskParameters, ThirdPartyParameters


class SortParameters(ThirdPartyParameters):
    """Sorts a file into another."""

    executable: str = "sort"
    in_file: Annotated[str, Positional()] = "light.txt"
    out: Annotated[str, Flag("-o"), Output(), IsResult()] = "made/sorted.txt"


class ReverseParameters(SortParameters):
    """Sorts the other way round."""

    reverse: Annotated[bool, Flag("-r")] = True


class CountParameters(ThirdPartyParameters):
    """Counts the lines of what Sort wrote."""

    executable: str = "wc"
    in_file: Annotated[str, Positional(), FromResult("Sort", "out")]
    out: Annotated[str, Output()] = ""


class ScriptParameters(ThirdPartyParameters):
    """Runs a script of the test's own; what it is to have written is no argument of it."""

    executable: str = "./script.sh"
    text: Annotated[str, Positional()] = ""
    out: Annotated[str, Output()] = ""
    old: Annotated[str, Output(may_be_old=True)] = ""
    folder: Annotated[str, Output()] = ""
    several: Annotated[str, Output(glob=True), IsResult()] = ""
    any_number: Annotated[str, Output(glob=True, at_least=0)] = ""


class ReadFolderParameters(ThirdPartyParameters):
    """Lists a folder that another wrote."""

    executable: str = "ls"
    path: Annotated[Path, Positional(), FromResult("Script", "folder")]


class CopyParameters(TaskParameters):
    """Where Copy writes to."""

    source: str = "light.txt"
    out: Annotated[str, Output(), IsResult()] = "{{ run_dir }}/copy.txt"


class Copy(Task):
    """Copies a file into the run's own folder."""

    def _run(self) -> None:
        params = self._task_parameters
        Path(params.out).write_text(Path(params.source).read_text())


Sorter = Executor("Sort")
Reverser = Executor("Reverse")
Counter = Executor("Count")
Scripter = Executor("Script")
FolderReader = Executor("ReadFolder")
Copier = Executor("Copy")
