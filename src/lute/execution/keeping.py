"""Values of a result -> what the record keeps of them: JSON, and files for what is none.

Whatever a value is, it does not decide about the run: what cannot be kept is told, and the rest is kept.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from lute.base.files import shared_mode
from lute.base.formatting import in_order
from lute.record.rows import RunFiles, plain
from lute.wire.encoding import DEEPEST, LONGEST_INTEGER, RawArray, qualified_name
from lute.wire.pickled import ATOMS, Buffer, Pickled, Unloadable
from lute.wire.tables import Table, as_table

if TYPE_CHECKING:
    from zipfile import ZipFile

    from lute.record.types import KeptFile

MOST_FILES = 100
"""Most files of a result; further values share the last, an archive."""
_GUARDED = 1
"""So deep in containers an item that cannot be kept is told alone: a payload, an item of that."""
_TOLD_KEYS = 3
_NOT_WHOLE = frozenset((type(None), bool, float, str))


class ValueKeeper:
    """Keeps the values of one run's result.

    Args:
        files: The run's files.
        originals: What values came as pickles, and as which, by their `id()`: those bytes are what is kept.
        tell: Tells a person what was not kept as it is.
    """

    def __init__(self, files: RunFiles, originals: Mapping[int, Pickled], tell: Callable[[str], None]) -> None:
        self._files, self._originals, self._tell = files, originals, tell
        self._count = 0
        self._open: list[int] = []
        self._archive: ZipFile | None = None

    def close(self) -> None:
        """Completes the archive, if there is one."""
        if self._archive is not None:
            self._archive.close()

    def kept(self, value: Any, name: str) -> Any:
        """Returns a value as the record has it.

        Args:
            value: Anything.
            name: Names the files.
        """
        if len(self._open) > _GUARDED:
            return self._kept(value, name)
        before = list(self._open)
        try:
            return self._kept(value, name)
        except Exception as error:  # nested too deep, or its own code fails
            self._open = before
            return self._file(value, name, str(error) or type(error).__name__)

    def _kept(self, value: Any, name: str) -> Any:
        original = self._originals.get(id(value))
        if original is not None and original.reason:
            return self._file(value, name, original.reason)
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, int):
            long = value.bit_length() > LONGEST_INTEGER
            return self._file(value, name, "it has more digits than JSON can have") if long else int(value)
        if isinstance(value, float):
            return float(value)
        if isinstance(value, (dict, list, tuple, set, frozenset)):
            return self._inside(value, name)
        if isinstance(value, Path):
            return str(value)
        if _attribute(value, "dtype") is not None and _attribute(value, "shape") == ():
            item = value.tolist()
            if type(item) is type(value):
                return self._file(value, name, "it has more digits than JSON's numbers")
            return item if type(item) in ATOMS else plain(item)
        return self._file(value, name)

    def _inside(self, value: Any, name: str) -> Any:
        """Returns a container with its items as the record has them."""
        if id(value) in self._open:
            return self._file(value, name, "it holds itself")
        if len(self._open) >= DEEPEST:
            raise ValueError(f"it is nested in more than {DEEPEST} levels")
        self._open.append(id(value))
        found: Any
        if isinstance(value, dict):
            found = {key: self.kept(item, name) for key, item in self._named(value)}
        elif _NOT_WHOLE.issuperset(map(type, value)):
            found = in_order(value) if isinstance(value, (set, frozenset)) else list(value)
        else:
            found = [self.kept(item, name) for item in in_order(value)]
        self._open.pop()
        return found

    def _named(self, value: dict[Any, Any]) -> Iterator[tuple[str, Any]]:
        """Yields the items of a dict by texts; of keys that would be the same text, all but one get an addition."""
        taken = {key for key in value if isinstance(key, str)}
        told = []
        for key, item in value.items():
            text = first = _text_of(key)
            if not isinstance(key, str):
                number = 1
                while text in taken:
                    text = f"{first} ({type(key).__name__}{f' {number}' if number > 1 else ''})"
                    number += 1
                taken.add(text)
            if text != first:
                told.append(f"{first} as {text!r}")
            yield text, item
        if told:
            more = f" and {len(told) - _TOLD_KEYS} more" if len(told) > _TOLD_KEYS else ""
            self._tell(f"a dict has keys that are the same text in JSON: kept are {', '.join(told[:_TOLD_KEYS])}{more}")

    # --------------------------------------------------------------------------------------- files

    def _file(self, value: Any, name: str, reason: str = "") -> KeptFile:
        """Keeps a value in a file. Returns what stands for it in the JSON."""
        self._count += 1
        name = name if self._count == 1 else f"{name}-{self._count}"
        about: KeptFile = {"type": qualified_name(value), "path": None, "size": None}
        if reason:
            about["reason"] = reason
        try:
            ending, data = self._contents(value, about)
            if data:
                about |= self._written(f"{name}{ending}", data)
        except (Exception, SystemExit, KeyboardInterrupt) as error:  # it is told; the status is still the Task's
            told = f"{type(error).__name__}: {error}"
            about["reason"] = f"{reason}, and cannot be pickled: {told}" if reason else told
        if "reason" in about:
            how = "is kept as bytes" if about["path"] else "could not be kept"
            self._tell(f"of the result, {about['type']} {how}: {about['reason']}")
        return about

    def _contents(self, value: Any, about: KeptFile) -> tuple[str, list[Buffer]]:
        """Returns the ending and the contents of a value's file, and adds to what is said of it."""
        original = self._originals.get(id(value))
        table = None if about.get("reason") else (original and original.table) or as_table(value)
        if isinstance(value, Unloadable):
            about |= {"type": value.type_name, "reason": value.reason}
            if value.text:
                about["text"] = value.text
            return ".pickle", [value.data] if value.data else []
        if table is not None:
            return _contents_of_table(table, about)
        if isinstance(value, RawArray):
            about |= {"type": "numpy.ndarray", "shape": list(value.shape), "dtype": value.dtype}
            return ".npy", [_npy_head(value.dtype, value.shape), value.data]
        if isinstance(value, (bytes, bytearray)):
            return ".bin", [value]
        if isinstance(shape := _attribute(value, "shape"), tuple):
            about["shape"] = list(shape)
        if (dtype := _attribute(value, "dtype")) is not None:
            about["dtype"] = str(dtype)
        if _is_simple_array(value):
            flat = value if value.flags.c_contiguous else value.copy(order="C")
            data = [flat.reshape(-1).view("u1").data] if flat.nbytes else []
            return ".npy", [_npy_head(value.dtype.str, value.shape), *data]
        return ".pickle", [original.whole() if original is not None else pickle.dumps(value, protocol=5)]

    def _written(self, name: str, data: list[Buffer]) -> KeptFile:
        """Writes a file, or a member of the archive once there are many. Returns where it is."""
        if self._count < MOST_FILES:
            path = self._files.kept(name, "")
            with _new_file(path) as file:
                for piece in data:
                    file.write(piece)
            return {"path": str(path), "size": path.stat().st_size}
        path = self._files.kept("more", ".zip")
        if self._archive is None:
            from zipfile import ZipFile  # few results have so many parts

            self._archive = ZipFile(_new_file(path), "w")
        whole = b"".join(data)
        self._archive.writestr(name, whole)
        return {"path": str(path), "member": name, "size": len(whole)}


def _new_file(path: Path) -> BinaryIO:
    file = open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")  # noqa: SIM115 - its user closes it
    os.fchmod(file.fileno(), shared_mode(path.parent, 0o600))
    return file


def _text_of(key: Any) -> str:
    try:
        return str(key)
    except Exception:
        return f"<{qualified_name(key)}>"


def _contents_of_table(table: Table, about: KeptFile) -> tuple[str, list[Buffer]]:
    from lute.record import table_files  # few results have one

    about |= table_files.about(table)
    ending, data = table_files.write(table)
    return ending, [data]


def _is_simple_array(value: Any) -> bool:
    kind = type(value)
    return kind.__module__ == "numpy" and kind.__name__ == "ndarray" and value.dtype.kind in "biufcSUMm"


def _attribute(value: Any, name: str) -> Any:
    try:
        return getattr(value, name, None)
    except Exception:  # it is code of others
        return None


def _npy_head(dtype: str, shape: tuple[int, ...]) -> bytes:
    """Returns the head of a `.npy` file, version 1.0 (numpy.lib.format), so that numpy need not be there."""
    about = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {tuple(shape)!r}, }}"
    padding = -(10 + len(about) + 1) % 64
    text = (about + " " * padding + "\n").encode("latin1")
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
