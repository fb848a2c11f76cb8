"""Reading a pickle of a run whose classes are in the run's own code, which need not be where it was."""

from __future__ import annotations

import io
import os
import pickle
import sys
import tempfile
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lute.base import modules
from lute.base.code_files import FOLDER, restore

if TYPE_CHECKING:
    from lute.record.types import CodeEntry, RunRow


def unpickled(data: bytes, row: RunRow) -> Any:
    """Returns the object in a pickle; to load it runs what its writer put into it.

    Args:
        data: The pickle.
        row: The run that gave it.

    Raises:
        Exception: Whatever loading it raises.
    """
    return _Unpickler(data, row).load()


class _Unpickler(pickle.Unpickler):
    """Takes modules that are of a run's code from the files that the record names."""

    def __init__(self, data: bytes, row: RunRow) -> None:
        super().__init__(io.BytesIO(data))
        self._row = row
        self._code = {entry.get("module") or _old_name(entry): entry for entry in row["code"] or []}

    def find_class(self, module: str, name: str) -> Any:
        """Returns a class or function, by its module and dotted name."""
        entry = self._code.get(module)
        if entry is None:
            return super().find_class(module, name)
        found: Any = self._module(module, entry)
        for part in name.split("."):
            found = getattr(found, part)
        return found

    def _module(self, name: str, entry: CodeEntry) -> ModuleType:
        known = sys.modules.get(name)
        if known is not None and getattr(known, "__file__", None) == entry["path"]:
            return known
        if os.path.isfile(entry["path"]):
            return modules.load(entry["path"])
        return modules.load(self._restored()[entry["path"]])

    def _restored(self) -> dict[str, str]:
        """Writes the texts that were kept of the run's code. Returns where each file is."""
        texts = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(self._row["log"]))), FOLDER)
        files = [(name, entry["path"], entry["digest"] or "") for name, entry in self._code.items()]
        return restore(files, texts, tempfile.mkdtemp(prefix="lute-code-"))


def _old_name(entry: CodeEntry) -> str:
    """Returns the name that an older `lute` loaded a plug-in's file under."""
    return modules.private_name(entry["path"])
