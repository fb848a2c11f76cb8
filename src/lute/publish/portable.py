"""Where what runs have and name lies in a crate, so that it can be unpacked anywhere and run. Pure but for one look.

In a crate's record the work folder is one that is nowhere: whoever reads it there finds all beside the record
(`lute.record.moved`). In a YAML file the same paths are relative.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, cast

import yaml

from lute.base.code_files import place_of_module
from lute.publish import rerun_yaml
from lute.record.headers import plugins_of
from lute.record.moved import AS_THEY_WERE, RUNS, work_dir_of

if TYPE_CHECKING:
    from lute.record.types import RunRow

_VARIABLE = re.compile(r"\{\{\s*\$(\w+)\s*\}\}")
_DIRECTIVE = re.compile(r"\A(%.*\n)+")
_PART = re.compile(r"^---.*$", re.MULTILINE)


class Places:
    """The places in one crate of the files that its runs name.

    Args:
        identity: The id of the run or workflow run.

    Attributes:
        root: The work folder of the crate's record.
    """

    def __init__(self, identity: str) -> None:
        self.root = f"/nowhere/{identity}"
        self._files: dict[str, str] = {}
        self._code: dict[str, str | None] = {}

    def file(self, row: RunRow, path: str) -> str:
        """Returns the place of an input or output: as it lay to where the run was, or in `data/`."""
        if path not in self._files:
            inside = [os.path.relpath(path, base) for base in _bases(row) if _is_below(path, base)]
            wanted = inside[0] if inside else f"data/{os.path.basename(path)}"
            place, number = wanted, 1
            while place in self._files.values():
                number += 1
                place = str(PurePath("data", f"{PurePath(wanted).stem}-{number}{PurePath(wanted).suffix}"))
            self._files[path] = place
        return self._files[path]

    def code(self, row: RunRow) -> dict[str, str]:
        """Returns the places of a run's code by its paths; a run with other texts has a folder of its own."""
        number = 1
        while True:
            folder = "code" if number == 1 else f"code-{number}"
            found, texts = {}, {}
            for file in row["code"] or []:
                module = file.get("module") or PurePath(file["path"]).stem
                place = found[file["path"]] = f"{folder}/{place_of_module(module, file['path'])}"
                texts[place] = file["digest"]
            if all(self._code.get(place, digest) == digest for place, digest in texts.items()):
                self._code |= texts
                return found
            number += 1

    def row(self, row: RunRow, digests: dict[str, str]) -> RunRow:
        """Returns a run as the crate's record has it.

        Args:
            row: The run.
            digests: SHA-256 of the files that are in the crate, whose times may change there.
        """
        code = self.code(row)
        modules = {file.get("module"): file["path"] for file in row["code"] or []}
        plugins = [modules.get(spec, spec) for spec in plugins_of(row)]
        plugins = [spec for spec in plugins if spec in code or spec[-3:] != ".py"]  # not those of no use to the run
        owner = {"cwd": self.root, "config": f"{self.root}/config.yaml", "plugins": plugins}
        named = {**self._files, **code}
        bases = [(base, self.root) for base in _bases(row) if base != os.sep]
        runs = [(os.path.join(base, RUNS), f"{self.root}/{RUNS}") for base in [work_dir_of(row["log"])] if base]
        changed: dict[str, Any] = {**row, "owner": owner}
        for name in ("inputs", "outputs"):
            changed[name] = [
                {**file, "digest": digests.get(file["path"], file["digest"])} for file in changed[name] or []
            ]
        move = _Move(self.root, (row["owner"] or {}).get("cwd") or os.sep, named, [*runs, *bases])
        found = {key: value if key in AS_THEY_WERE else move(value) for key, value in changed.items()}
        header = (found["parameters"] or {}).get("lute_config")
        if header:
            found["parameters"] = {**found["parameters"], "lute_config": {**header, "database": ""}}
        return cast("RunRow", found)

    def as_yaml(self, row: RunRow) -> str:
        """Returns the YAML file that runs a run of the crate's record again, from the crate's folder.

        Raises:
            UsageError: There is none.
        """
        return self.relative(rerun_yaml.as_yaml(row))

    def relative(self, text: str) -> str:
        """Returns a text with the paths of the crate's record as they are from the crate's folder."""
        return text.replace(f'"{self.root}"', '"."').replace(f"{self.root}/", "")

    def below(self, path: str) -> str:
        """Returns a path of the crate's record as it is from the crate's folder."""
        return path.removeprefix(f"{self.root}/")

    def config(self, text: str, plugins: Sequence[str]) -> str:
        """Returns the YAML file of a workflow run with the crate's plug-ins and work folder.

        Paths of files that are in the crate are as they are there, and so is a variable with their folder.

        Raises:
            yaml.YAMLError: Its header cannot be read.
        """
        parts = _PART.split(_DIRECTIVE.sub("", text))
        documents = parts if parts[0].strip() else parts[1:]
        header = yaml.safe_load(documents[0]) if len(documents) > 1 else {}
        header = {**(header or {}), "work_dir": ".", "plugins": list(plugins)}
        header.pop("database", None)
        rest = documents[-1]
        for path, place in sorted(self._files.items(), reverse=True):
            rest = rest.replace(path, place)
        folders = {os.path.dirname(path) for path, place in self._files.items() if place.startswith("data/")}
        for name in variables_in(rest):
            if os.environ.get(name) in folders:
                rest = re.sub(rf"\{{\{{\s*\${name}\s*\}}\}}", "data", rest)
        return f"%YAML 1.2\n---\n{rerun_yaml.dumped(header)}---{rest}"


def variables_in(text: str) -> list[str]:
    """Returns which variables of the environment a YAML file takes."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    return list(dict.fromkeys(_VARIABLE.findall("\n".join(lines))))


class _Move:
    """Gives the paths in a value as they are in a crate."""

    def __init__(self, root: str, cwd: str, named: dict[str, str], prefixes: Iterable[tuple[str, str]]) -> None:
        self._root, self._cwd, self._named, self._prefixes = root, cwd, named, list(prefixes)

    def __call__(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, list):
            return [self(item) for item in value]
        if isinstance(value, dict):
            return {key: self(item) for key, item in value.items()}
        return value

    def _text(self, value: str) -> str:
        place = self._named.get(os.path.normpath(os.path.join(self._cwd, value))) if value else None
        if place is not None:
            return value if os.path.normpath(value) == place else f"{self._root}/{place}"
        for before, now in self._prefixes:
            if value == before or value.startswith(f"{before}/"):
                return now + value[len(before) :]
        return value


def _bases(row: RunRow) -> list[str]:
    """Returns the folders whose inside keeps its order in a crate: where the run was started, and its work folder."""
    found = [(row["owner"] or {}).get("cwd"), work_dir_of(row["log"] or "")]
    return [base for base in dict.fromkeys(found) if base]


def _is_below(path: str, base: str) -> bool:
    return path.startswith(f"{base.rstrip(os.sep)}{os.sep}")
