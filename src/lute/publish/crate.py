"""A run or workflow run -> an RO-Crate, for publication; unpacked anywhere it runs. Needs the extra `crate`.

A run follows the profile Process Run Crate, a workflow run also Workflow Run Crate
(https://www.researchobject.org/workflow-run-crate/profiles/), each in RO-Crate 1.1.
"""

from __future__ import annotations

import hashlib
import json
import mimetypes
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from lute.base.code_files import FOLDER, kept_text
from lute.base.secrets import without_password
from lute.errors import UsageError
from lute.publish import crate_readme as readme
from lute.publish import portable, rerun_yaml
from lute.record import workflow_store
from lute.record.db import FILE_NAME
from lute.record.moved import RUNS, work_dir_of
from lute.record.rows import RunFiles, is_time_of, kept_files, printable, public
from lute.record.schema import flat_values, is_live
from lute.record.store import Record

if TYPE_CHECKING:
    from lute.record.types import CodeEntry, FileEntry, RunRow, WorkflowRow

try:
    from rocrate.model import ComputerLanguage, ContextEntity
    from rocrate.rocrate import ROCrate
except ImportError as error:
    raise UsageError(f"an RO-Crate needs rocrate ({error}): pip install 'lute-executor[crate]'") from None

VERSION = "1.1"
PROCESS = "https://w3id.org/ro/wfrun/process/0.5"
WORKFLOW = "https://w3id.org/ro/wfrun/workflow/0.5"
WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
BIOSCHEMAS = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
_PROFILES = {PROCESS: "Process Run Crate", WORKFLOW: "Workflow Run Crate", WORKFLOW_CRATE: "Workflow RO-Crate"}
_KINDS = {".py": "text/x-python", ".yaml": "application/yaml", ".npy": "application/octet-stream"}
_DONE = "http://schema.org/CompletedActionStatus"
_ONLY_HERE = ("job", "request", "imports", "config.yaml", "templates", "code", "verify", "environment")
"""What a run's folder has that is of no use elsewhere."""
_FAILED = "http://schema.org/FailedActionStatus"


@dataclass(frozen=True)
class About:
    """What the record does not know of a crate.

    Attributes:
        license: What others may do with it: a URL, or words.
        author: Who ran it.
        largest: A data file larger than this, in bytes, is described and not copied.
    """

    license: str
    author: str = ""
    largest: int = 100_000_000


def write(crate: ROCrate, place: Path) -> None:
    """Writes a crate to a folder, or to a file whose name ends in `.zip`."""
    for entity in crate.get_entities():
        for name, value in entity.properties().items():
            if isinstance(value, list) and len(value) == 1:  # the compact form, which RO-Crate recommends
                entity[name] = value[0]
    if place.suffix == ".zip":
        crate.write_zip(place)
    else:
        crate.write(place)


def of_run(row: RunRow, about: About) -> tuple[ROCrate, list[str]]:
    """Returns the crate of a run, and what was left out of it, and why.

    Raises:
        UsageError: The run has not ended.
    """
    builder = _Builder(about, row["id"], f"Run {row['id']} of {row['task']}", _told(row), [PROCESS])
    builder.run(row, "")
    builder.record(None)
    return builder.crate, builder.left_out


def of_workflow(record: Record, row: WorkflowRow, about: About) -> tuple[ROCrate, list[str]]:
    """Returns the crate of a workflow run with the runs of all its steps, and what was left out of it, and why.

    Raises:
        UsageError: It has not ended.
    """
    if row["status"] == "RUNNING":
        raise UsageError(f"workflow run {row['id']} has not ended yet")
    title = f"Workflow run {row['id']} of {row['name']}"
    builder = _Builder(about, row["id"], title, _told(row), [PROCESS, WORKFLOW, WORKFLOW_CRATE])
    identities = dict.fromkeys(step["id"] for step in row["steps"] if step["id"])
    identities |= dict.fromkeys(run["id"] for run in workflow_store.steps_of(record, row["id"]).values())
    runs = sorted((record.get(identity) for identity in identities), key=lambda run: str(run["started"]))
    actions = [builder.run(run, f"runs/{run['id']}/") for run in runs]
    builder.workflow(row, actions)
    builder.record(row)
    return builder.crate, builder.left_out


def _told(row: RunRow | WorkflowRow) -> str:
    after = f", run {row['run']}" if row["run"] else ""
    reason = f": {row['reason']}" if row["reason"] else ""
    return f"Experiment {row['experiment'] or '(none)'}{after}. {row['status']}{reason}"


class _Builder:
    """Builds one crate.

    Attributes:
        crate: The crate.
        left_out: What is not in it, and why.
    """

    def __init__(self, about: About, identity: str, name: str, description: str, profiles: list[str]) -> None:
        self.crate = ROCrate(version=VERSION)
        self.left_out: list[str] = []
        self._about = about
        self._places = portable.Places(identity)
        self._runs: list[tuple[RunRow, str, Any]] = []
        self._digests: dict[str, str] = {}
        self._files: dict[tuple[Any, ...], Any] = {}
        self._taken: set[str] = set()
        root = self.crate.root_dataset
        root["name"], root["description"], root["license"] = name, description, about.license
        if about.license.startswith(("http://", "https://")):
            root["license"] = self._entity(about.license, "CreativeWork", name=about.license)
        root["conformsTo"] = [
            self._entity(url, "CreativeWork", name=_PROFILES[url], version=url.rpartition("/")[2]) for url in profiles
        ]
        self._author = self._entity("#author", "Person", name=about.author) if about.author else None
        if self._author:
            root["author"] = self._author

    def _entity(self, identity: str, kind: Any, **properties: Any) -> Any:
        """Returns the entity with an id, made if it is not there yet."""
        known = self.crate.get(identity)
        given = {name: value for name, value in properties.items() if value not in (None, "")}
        return known or self.crate.add(ContextEntity(self.crate, identity, properties={"@type": kind, **given}))

    # ------------------------------------------------------------------------------------------ a run

    def run(self, row: RunRow, folder: str) -> Any:
        """Adds a run with its files in a folder of the crate. Returns its action.

        Raises:
            UsageError: The run has not ended.
        """
        if is_live(row):
            raise UsageError(f"run {row['id']} is {row['status']}: it has not ended yet")
        action = self._action(row, f"#run-{row['id']}", f"Run of {row['managed_task'] or row['task']}")
        action["instrument"] = self._program(row)
        action["object"] = [*self._data(row, row["inputs"]), *self._parameters(row)]
        action["result"] = [*self._data(row, row["outputs"]), *self._pages(row), *self._results(row)]
        action["subjectOf"] = list(self._papers(row, folder))
        self._runs.append((row, f"rerun.{row['id']}.yaml" if folder else "rerun.yaml", action))
        return action

    def _action(self, row: RunRow | WorkflowRow, identity: str, name: str) -> Any:
        completed = row["status"] == "COMPLETED"
        action = self._entity(
            identity,
            "CreateAction",
            name=name,
            description=_told(row),
            startTime=_to_the_second(row["started"]),
            endTime=_to_the_second(row["ended"]),
            actionStatus=_DONE if completed else _FAILED,
            error="" if completed else row["reason"],
        )
        if self._author:
            action["agent"] = self._author
        self.crate.root_dataset.append_to("mentions", action)
        return action

    def _program(self, row: RunRow) -> Any:
        versions = row["versions"] or {}
        code = list(self._code(row))
        program = (row["parameters"] or {}).get("executable")
        own = next((file["digest"][:12] for file in row["code"] or [] if file["digest"]), None)
        version = versions.get("program") or own or versions.get("lute")
        told = f"The program {program}" if program else "A Task in Python"
        application = self._entity(
            f"#{row['task']}-{version}",
            "SoftwareApplication",
            name=row["task"],
            description=told,
            softwareVersion=version,
        )
        application["softwareRequirements"] = [
            self._entity(f"#{name}-{versions[name]}", "SoftwareApplication", name=name, softwareVersion=versions[name])
            for name in ("lute", "python")
            if versions.get(name)
        ]
        if code:
            application["hasPart"] = code
        return application

    def _code(self, row: RunRow) -> Iterable[Any]:
        """Adds a run's code as it ran: to be imported, and by its digest, as the record keeps it."""
        places = self._places.code(row)
        for file in row["code"] or []:
            about: dict[str, Any] = {
                "programmingLanguage": "Python",
                "version": file["commit"] or (file["digest"] or "")[:12] or None,
            }
            text = _text_of(file, row)
            if text is None:
                self._leave_out(file["path"], "its text is not there as it ran")
                name = os.path.basename(file["path"])
                yield self._entity(f"#code-{name}-{about['version']}", "SoftwareSourceCode", name=name, **about)
                continue
            self._bytes(f"{RUNS}/{FOLDER}/{file['digest']}", text, name=f"The text of {places[file['path']]}")
            yield self._bytes(places[file["path"]], text, kind=["File", "SoftwareSourceCode"], **about)

    def _parameters(self, row: RunRow) -> Iterable[Any]:
        parameters = {name: value for name, value in (row["parameters"] or {}).items() if name != "lute_config"}
        for name, value in flat_values(parameters).items():
            yield self._value(row, name, value)

    def _results(self, row: RunRow) -> Iterable[Any]:
        for name, item in (row["metrics"] or {}).items():
            yield self._value(row, f"metrics.{name}", item["value"], item["unit"])
        if row["summary"]:
            yield self._value(row, "summary", row["summary"])
        kept = [path for file in kept_files(row["payload"]) if os.path.isfile(path := file["path"] or "")]
        for path in kept:
            yield self._file(path, self._place(row, path))
        if not kept and row["payload"] not in (None, ""):
            yield self._value(row, "payload", row["payload"])

    def _value(self, row: RunRow, name: str, value: Any, unit: str = "") -> Any:
        value = printable(value)
        plain = value if isinstance(value, (str, int, float)) else json.dumps(value)
        plain = without_password(plain) if isinstance(plain, str) else plain
        entity = self._entity(f"#run-{row['id']}-{name}", "PropertyValue", name=name, unitText=unit)
        entity["value"] = plain
        return entity

    def _pages(self, row: RunRow) -> Iterable[Any]:
        for path in row["plots"] or []:
            if os.path.isfile(path):
                yield self._file(path, self._place(row, path), name=os.path.basename(os.path.dirname(path)))

    def _papers(self, row: RunRow, folder: str) -> Iterable[Any]:
        """Adds what tells about a run: its folder with the log, its row of the record, and templates."""
        text = json.dumps(printable(public(row)), indent=2, default=str)
        yield self._written(f"{folder}run.json", text, name="The run's row in the record")
        own = Path(row["log"] or "-").parent
        for path in sorted(own.rglob("*")) if os.path.isfile(row["log"] or "") else []:
            parts = path.relative_to(own).parts
            if path.is_symlink() or not path.is_file() or parts[0] in _ONLY_HERE:
                continue
            if path.stat().st_size > self._about.largest:
                self._leave_out(str(path), "it is larger than --largest")
                continue
            told = {"name": "What the Task printed"} if parts == ("log",) else {}
            yield self._file(str(path), self._place(row, str(path)), **told)
        if "lute_template_cfg" in (row["parameters"] or {}):
            folder = os.path.join(os.path.dirname((row["owner"] or {}).get("config") or ""), "templates")
            for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
                if os.path.isfile(os.path.join(folder, name)):
                    yield self._file(os.path.join(folder, name), f"templates/{name}")

    def record(self, workflow: WorkflowRow | None) -> None:
        """Adds what is needed to run all of it again: a record of the runs, a YAML file for each, and what to do."""
        moved = [(self._places.row(row, self._digests), place, action) for row, place, action in self._runs]
        with tempfile.TemporaryDirectory() as folder:
            with Record(Path(folder, FILE_NAME)) as record:
                for row, _, _ in moved:
                    record.save(json.loads(without_password(json.dumps(row))))
                if workflow is not None:
                    workflow_store.save(record, {**workflow, "config": "", "folder": "", "file": "", "owner": None})
            self._bytes(FILE_NAME, Path(folder, FILE_NAME).read_bytes(), name="The record of these runs")
        usable, has_config = [], bool(workflow and os.path.isfile(workflow["config"] or ""))
        for row, place, action in moved:
            self._note_needed(row)
            try:
                entity = self._written(place, self._places.as_yaml(row), name="Runs it again, with lute")
            except UsageError as error:
                self._leave_out(place, str(error))
            else:
                action.append_to("subjectOf", entity)
                usable.append((row, place))
        self._written("README.md", readme.text_of(usable, self.left_out, has_config), name="How to run it again")

    def _note_needed(self, row: RunRow) -> None:
        program = (row["parameters"] or {}).get("executable")
        if program:
            self._leave_out(str(program), "a program: it must be where this is run")
        for spec in (row["owner"] or {}).get("plugins") or ():
            if not spec.endswith(".py"):
                self._leave_out(spec, "an installed plug-in: install it where this is run")
        for name in rerun_yaml.hidden(row):
            self._leave_out(f"{name} of {row['task']}", "a secret, which is not recorded")

    def _leave_out(self, what: str, why: str) -> None:
        text = f"{what}: {why}"
        if text not in self.left_out:
            self.left_out.append(text)

    # ------------------------------------------------------------------------------------------ files

    def _place(self, row: RunRow, path: str) -> str:
        """Returns where a file of a run belongs in the crate."""
        base = work_dir_of(row["log"] or "")
        if base and path.startswith(os.path.join(base, RUNS) + os.sep):
            return os.path.relpath(path, base)
        return self._places.file(row, path)

    def _data(self, row: RunRow, files: Iterable[FileEntry] | None) -> Iterable[Any]:
        """Adds input or output files as they are in the record; one that is large, gone or changed is described."""
        for file in files or []:
            why = self._why_not(file)
            if why is None:
                self._digests[file["path"]] = _digest(file["path"]) or ""
                yield self._file(file["path"], self._place(row, file["path"]))
            else:
                self._leave_out(file["path"], why)
                yield self._described(file)

    def _why_not(self, file: FileEntry) -> str | None:
        try:
            about = os.stat(file["path"])
        except OSError:
            return "it is gone"
        if file["size"] is None or "count" in file:
            return "a folder"
        as_it_was = about.st_size == file["size"] and is_time_of(file["mtime"], about.st_mtime_ns)
        if not as_it_was and (not file["digest"] or _digest(file["path"]) != file["digest"]):
            return "it was changed since"
        return f"{about.st_size} bytes, larger than --largest" if about.st_size > self._about.largest else None

    def _described(self, file: FileEntry) -> Any:
        key = (file["path"], file["size"], file["mtime"])
        if key not in self._files:
            told = (
                "A file that is not in this crate" if file["size"] is not None else "A folder that is not in this crate"
            )
            self._files[key] = self._entity(
                f"#data-{len(self._files)}",
                "CreativeWork",
                name=os.path.basename(file["path"]),
                description=f"{told}: {file['path']}",
                contentSize=None if file["size"] is None else str(file["size"]),
                dateModified=file["mtime"],
                identifier=f"sha256:{file['digest']}" if file.get("digest") else None,
            )
        return self._files[key]

    def _file(self, path: str, wanted: str, kind: Any = "File", **properties: Any) -> Any:
        about = os.stat(path)
        key = (path, about.st_size, about.st_mtime_ns)
        if key not in self._files:
            place = self._free(wanted)
            self._files[key] = self.crate.add_file(path, place, properties=_properties(place, kind, properties))
            self._files[key]["contentSize"] = str(about.st_size)
        return self._files[key]

    def _written(self, place: str, text: str, **properties: Any) -> Any:
        return self._bytes(place, without_password(text).encode("utf-8", "backslashreplace"), **properties)

    def _bytes(self, place: str, data: bytes, kind: Any = "File", **properties: Any) -> Any:
        """Adds a file with these bytes, once."""
        key = (place, data)
        if key not in self._files:
            self._taken.add(place)
            self._files[key] = self.crate.add_file(
                BytesIO(data), place, properties=_properties(place, kind, properties)
            )
        return self._files[key]

    def _free(self, place: str) -> str:
        stem, suffix = os.path.splitext(place)
        number = 2
        while place in self._taken:
            place, number = f"{stem}-{number}{suffix}", number + 1
        self._taken.add(place)
        return place

    # ------------------------------------------------------------------------------------- a workflow

    def workflow(self, row: WorkflowRow, actions: list[Any]) -> None:
        """Adds the workflow as the crate's main entity, and its run."""
        language = self.crate.add(
            ComputerLanguage(
                self.crate, "#lute-workflow", properties={"name": "lute workflow", "alternateName": "lute"}
            )
        )
        text = row["definition"] or rerun_yaml.steps_as_yaml(row)
        about = {"name": row["name"], "conformsTo": {"@id": BIOSCHEMAS}, "encodingFormat": "application/yaml"}
        about["version"] = hashlib.sha256(text.encode()).hexdigest()[:12]
        main = self.crate.add_workflow(
            BytesIO(text.encode()), "workflow.yaml", main=True, lang=language, properties=about
        )
        action = self._action(row, f"#workflow-run-{row['id']}", f"Run of the workflow {row['name']}")
        action["instrument"] = main
        action["object"] = list(self._workflow_inputs(row, main))
        action["result"] = [item for one in actions for item in _several(one.get("result")) if _is_file(item)]
        used = {one["instrument"].id: one["instrument"] for one in actions}
        if used:
            main["hasPart"] = list(used.values())

    def _workflow_inputs(self, row: WorkflowRow, main: Any) -> Iterable[Any]:
        if os.path.isfile(row["config"] or ""):
            text = Path(row["config"]).read_text(encoding="utf-8", errors="replace")
            text = self._config(text, row)
            told = "The parameters of all Tasks, as they were when the crate was made"
            yield self._input(main, "config", "File", self._written("config.yaml", text, description=told))
        settings = dict(row["options"]["overrides"]["settings"]) if row["options"] else {}
        given = {"experiment": row["experiment"], "run": row["run"], **settings}
        for name, value in given.items():
            if value:
                value = without_password(str(value))
                entity = self._entity(f"#workflow-run-{row['id']}-{name}", "PropertyValue", name=name, value=value)
                yield self._input(main, name, "Text", entity)

    def _config(self, text: str, row: WorkflowRow) -> str:
        plugins: dict[str, None] = {}
        for run, _, _ in self._runs:
            moved = self._places.row(run, self._digests)
            plugins |= dict.fromkeys(self._places.below(spec) for spec in (moved["owner"] or {}).get("plugins") or ())
        try:
            text = self._places.config(text, list(plugins))
        except yaml.YAMLError as error:
            self._leave_out("config.yaml", f"it is as it was, since its header cannot be read: {error}")
        for name in portable.variables_in(text):
            self._leave_out(f"the variable {name}", "set it for config.yaml (inputs from elsewhere are in data/)")
        return text

    def _input(self, main: Any, name: str, kind: str, value: Any) -> Any:
        parameter = self.crate.add_formal_parameter(name, kind, f"#parameter-{name}")
        main.append_to("input", parameter)
        parameter["workExample"], value["exampleOfWork"] = value, parameter
        return value


def _properties(place: str, kind: Any, more: Mapping[str, Any]) -> dict[str, Any]:
    guessed = _KINDS.get(Path(place).suffix) or mimetypes.guess_type(place)[0] or "application/octet-stream"
    named = {"name": os.path.basename(place), **{name: value for name, value in more.items() if value}}
    return {"@type": kind, "encodingFormat": guessed, **named}


def _to_the_second(moment: str | None) -> str | None:
    """Returns a time without its fraction and with its zone as a number, as the profile's validator wants it."""
    return f"{moment[:19]}+00:00" if moment else None


def _digest(path: str) -> str | None:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return None


def _text_of(file: CodeEntry, row: RunRow) -> bytes | None:
    """Returns the text of a file of code as it ran, from where it was or where it was kept; None if it is not there."""
    if _digest(file["path"]) == file["digest"] is not None:
        return Path(file["path"]).read_bytes()
    try:
        return kept_text(str(RunFiles(Path(row["log"]).parent).code), file["digest"] or "-")
    except (OSError, ValueError):
        return None


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _is_file(entity: Any) -> bool:
    return "File" in _several(entity.type)
