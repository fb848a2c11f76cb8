"""What the record keeps of a run: its files, and its row."""

from __future__ import annotations

import enum
import hashlib
import secrets
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from lute.base import code_files
from lute.base.formatting import in_order
from lute.base.secrets import hide_variables, secret_values, without_password
from lute.errors import NotKeptError
from lute.record import values
from lute.record.schema import BESIDES, PUBLIC, RESULT_COLUMNS
from lute.wire.results import DescribedAnalysis, TaskStatus

if TYPE_CHECKING:
    from lute.record.types import JsonObject, KeptFile, RunRow, WorkflowRow

RERUN_OF = "rerun of"
"""Under this name the `sources` of a run say which run it repeats; no parameter's name has a space."""
_PAYLOAD = ("result", "payload", "result.payload")
"""The names of a run's payload as others ask for it."""
_OF_KEPT = {"type", "path", "size"}
"""What every value that is kept in a file has in a payload."""
_EPOCH = 1577836800
"""2020, so that the milliseconds since then have 40 bits until 2054."""
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def new_run_id() -> str:
    """Returns an id for a run: 12 letters and digits that sort by time, with no letter taken for another."""
    return id_at(time.time(), secrets.randbits(20))


def id_at(when: float, number: int, bits: int = 20) -> str:
    """Returns the id with a certain time and number.

    Args:
        when: The time, in s since the epoch.
        number: What tells it from others of that time.
        bits: How many the number has; with more than 20 the time is that much coarser than 1 ms.
    """
    rest = (int((when - _EPOCH) * 1000) >> (bits - 20) << bits) | number
    text = ""
    for _ in range(12):
        rest, digit = divmod(rest, 32)
        text = _ALPHABET[digit] + text
    return text


def made_at(run_id: str) -> float:
    """Returns when an id was made, in s since the epoch.

    Raises:
        ValueError: It is no id of ours.
    """
    number = 0
    for digit in run_id:
        number = number * 32 + _ALPHABET.index(digit)
    return (number >> 20) / 1000 + _EPOCH


class RunFiles:
    """The names of all files of a run, in `<work_dir>/lute.runs/<date>/<id>/`.

    Args:
        folder: That folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, work_dir: str, run_id: str, now: float | None = None) -> RunFiles:
        """Returns the files of a run.

        Args:
            work_dir: The work folder.
            run_id: The run's id.
            now: Its date, in s since the epoch; that of the id if not given, which may be older than the run.
        """
        date = time.strftime("%Y-%m-%d", time.gmtime(made_at(run_id) if now is None else now))
        return cls(Path(work_dir).absolute() / "lute.runs" / date / run_id)

    @cached_property
    def log(self) -> Path:
        """What the Task and its children printed."""
        return self.folder / "log"

    @cached_property
    def times(self) -> Path:
        """When the log had which size: lines of seconds since the epoch and bytes."""
        return self.folder / "log.times"

    @cached_property
    def batch(self) -> Path:
        """What a batch job itself printed."""
        return self.folder / "slurm.out"

    @cached_property
    def job(self) -> Path:
        """What a child is to run; there only while it starts and runs."""
        return self.folder / "job"

    @cached_property
    def made(self) -> Path:
        """The folder for what the Task itself writes and no other run may: `{{ run_dir }}`."""
        return self.folder / "files"

    @cached_property
    def plots(self) -> Path:
        """The folder of the run's own pages of figures."""
        return self.folder / "plots"

    @cached_property
    def imports(self) -> Path:
        """What its Task imports while it runs, as its processes say; there only until the run ends."""
        return self.folder / "imports"

    @cached_property
    def code(self) -> Path:
        """The folder with the texts of all runs' code."""
        return self.folder.parents[1] / code_files.FOLDER

    @cached_property
    def request(self) -> Path:
        """What another process asks of the run's owner; there only until it is taken."""
        return self.folder / "request"

    def kept(self, name: str, suffix: str) -> Path:
        """Returns where a value that is no JSON is kept."""
        return self.folder / f"{name}{suffix}"


class Earlier(NamedTuple):
    """A value of an earlier run.

    Attributes:
        value: The value, equal to what ran.
        run: That run's id.
        plain: The value in JSON's own types, for who takes it as that alone; None if that is the same.
    """

    value: Any
    run: str | None
    plain: Any = None


def row_of(analysis: DescribedAnalysis) -> RunRow:
    """Returns the whole row of a run; what is not known of an analysis made by hand is empty."""
    result, params = analysis.task_result, analysis.task_parameters
    row: dict[str, Any] = dict(analysis.record)
    row["id"] = analysis.record["id"] = row.get("id") or new_run_id()
    row["task"] = result.task_name
    row["status"] = result.task_status.name
    row["valid"] = result.task_status is TaskStatus.COMPLETED
    row["summary"] = result.summary if isinstance(result.summary, str) else plain(result.summary)
    row["summary"] = row["summary"] if isinstance(row["summary"], str) else str(row["summary"])
    if "payload" not in row:  # an Executor has put there what it kept
        row["payload"] = plain(result.payload)
    row["impl_schemas"] = result.impl_schemas
    if params is not None:
        row.setdefault("experiment", params.lute_config.experiment)
        row.setdefault("run", str(params.lute_config.run))
        if "parameters" not in row:
            row["parameters"] = plain_parameters(params)
    row.setdefault("started", utc(time.time()))
    row.setdefault("log", "")
    row.setdefault("attempt", 1)
    return cast("RunRow", row)


def column(row: RunRow | WorkflowRow, name: str) -> Any:
    """Returns a column of a row by a name that is not known before."""
    values: Mapping[str, Any] = row
    return values[name]


def public(row: RunRow) -> RunRow:
    """Returns a run as `--json` and the web page's API tell it: with the columns that are for others."""
    found = {name: row.get(name) for name in PUBLIC} | {name: row.get(name) for name in BESIDES if row.get(name)}
    if row.get("given"):
        found["given"] = plain(given_of(row))
    return cast("RunRow", found)


def printable(value: Any) -> Any:
    """Returns a value of JSON's types as it is printed: nan and infinities are texts there.

    >>> printable({"a": [1.5, float("nan"), float("-inf")]})
    {'a': [1.5, 'nan', '-inf']}
    """
    if isinstance(value, float):
        return value if value - value == 0 else str(float(value))
    if isinstance(value, dict):
        return {key: printable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [printable(item) for item in value]
    return value


def plain_parameters(params: Any) -> JsonObject:
    """Returns parameters as JSON's own types, without a password for the record and secrets in `environments:`.

    `TemplateParameters` are their value.
    """
    found = {name: plain(_value(value)) for name, value, _ in params.command_line_fields()}
    header = found["lute_config"]
    header["database"] = without_password(header["database"])
    for entry in header.get("environments", {}).values():
        entry["set"] = hide_variables(entry["set"], secret_values(entry["set"]))
    return found


def exact_parameters(params: Any) -> JsonObject | None:
    """Returns those parameters whose plain form is not all that they are, as `values.kept` has them; None if none."""
    fields = type(params).model_fields
    own = {name: _value(item) for name, item in params.__dict__.items() if name in fields and name != "lute_config"}
    extra = {name: _value(item) for name, item in (params.model_extra or {}).items()}
    return values.kept(own | extra, exact_alone=True) or None


def _value(value: Any) -> Any:
    return value.params if type(value).__name__ == "TemplateParameters" else value


def plain(value: Any) -> Any:
    """Returns a value in JSON's own types: models and dataclasses as dicts, paths and what is left as text."""
    if value is None or type(value) in (bool, str):
        return value
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)):
        return _plain_number(value)
    if isinstance(value, dict):
        return {values.plain_key(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in in_order(value)]
    if isinstance(value, (bytes, bytearray)):
        return _plain_bytes(value)
    if hasattr(value, "model_dump"):
        return plain(value.model_dump())
    if hasattr(value, "tolist") and getattr(value, "size", 1) <= values.LARGEST_ARRAY:
        return plain(value.tolist())
    fields = values.fields_of(value)
    return str(value) if fields is None else plain(fields)


def _plain_number(value: float) -> float | str:
    number = value if type(value) in (int, float) else (int(value) if isinstance(value, int) else float(value))
    if values.is_plain(number):
        return number
    return hex(number) if isinstance(number, int) else str(number)


def _plain_bytes(value: bytes | bytearray) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return str(value)


# ------------------------------------------------------------------------------------ reading a row


def kept_file(value: Any) -> KeptFile | None:
    """Returns what a payload has in place of a value that is kept in a file of its own; None for any other value."""
    is_kept = isinstance(value, dict) and value.keys() >= _OF_KEPT
    found: KeptFile | None = value if is_kept else None
    return found


def kept_files(payload: Any) -> Iterator[KeptFile]:
    """Yields what a payload has in place of values that are kept in files, at any depth; each file once."""
    seen: set[str | None] = set()
    for kept in all_kept(payload):
        if kept["path"] is None or kept["path"] not in seen:
            seen.add(kept["path"])
            yield kept


def all_kept(payload: Any) -> Iterator[KeptFile]:
    """Yields what a payload has in place of values that are kept in files, at any depth; several may share one."""
    if (kept := kept_file(payload)) is not None:
        yield kept
    elif isinstance(payload, (dict, list)):
        for item in payload.values() if isinstance(payload, dict) else payload:
            yield from all_kept(item)


def path_of_kept(value: Any) -> Any:
    """Returns a payload as another Task is given it: a value that is kept in a file of its own is that file's path."""
    kept = kept_file(value)
    return value if kept is None else kept["path"]


def parameters_of(row: RunRow) -> JsonObject:
    """Returns a run's parameters as others are given them: a pattern of outputs is the files that fitted it."""
    return {**(row["parameters"] or {}), **_matches(row)}


def _matches(row: RunRow) -> dict[str, list[str]]:
    matches: dict[str, list[str]] = {}
    for entry in row.get("outputs") or ():
        if "pattern" in entry:
            found = matches.setdefault(entry["parameter"], [])
            if entry.get("count") != 0:
                found.append(entry["path"])
    return matches


def exact_of(row: RunRow) -> JsonObject:
    """Returns what is kept exactly of a run's parameters, but for patterns of outputs, which are files to others."""
    matches = _matches(row)
    return {name: value for name, value in (row.get("exact") or {}).items() if name not in matches}


def given_of(row: RunRow) -> JsonObject:
    """Returns a run's parameters as they were given; what could not be kept is the name of its type."""
    found = {}
    for name, value in (row.get("given") or {}).items():
        try:
            found[name] = values.decode(value)
        except NotKeptError as error:
            found[name] = str(error)
    return found


def value_of(row: RunRow, param: str) -> Any:
    """Returns a parameter's or result's value in a run, equal to what ran, by the name that other Tasks use.

    None if there is none.

    Raises:
        NotKeptError: It could not be kept.
    """
    from lute.base.paths import split_path  # few read an earlier value

    exact = exact_of(row)
    name, *parts = [param] if param in (row["parameters"] or {}) else split_path(param) or [param]
    if _is_of_result(param) or name not in exact:
        return plain_value_of(row, param)
    try:
        found = values.decode(exact[name])
        for part in parts:
            found = values.part_of(found, part)
    except NotKeptError as error:
        raise NotKeptError(
            f"{row['task']}.{name} of run {row['id']} is {error}, which the record could not keep as it was"
        ) from error
    except LookupError:
        return None
    return found


def plain_value_of(row: RunRow, param: str) -> Any:
    """Returns a parameter's or result's value in a run in JSON's own types, for people; None if there is none."""
    if param in _PAYLOAD:
        return path_of_kept(row["payload"])
    if _is_of_result(param):
        name = RESULT_COLUMNS.get(param)
        return column(row, name) if name else None
    return _value_at(parameters_of(row), param)


def _is_of_result(param: str) -> bool:
    return param in _PAYLOAD or param.startswith("result.") or param == "valid_flag"


def _value_at(parameters: Any, name: str) -> Any:
    if name in parameters:
        return parameters[name]
    from lute.base.paths import NOTHING, split_path, value_at  # few read an earlier value, and fewer a nested one

    found = value_at(parameters, split_path(name))
    return None if found is NOTHING else found


def fingerprint_of(row: RunRow) -> str:
    """Returns the fingerprint of what a run was made of: that of its plan, and the texts of all code that it used."""
    texts = sorted(f"{file['path']} {file['digest']}" for file in row.get("code") or ())
    return f"{row.get('fingerprint') or ''} code:{hashlib.sha256(chr(10).join(texts).encode()).hexdigest()[:16]}"


# ------------------------------------------------------------------------------------------- times


def utc(seconds: float) -> str:
    """Returns a time as ISO 8601 in UTC, to the microsecond."""
    whole = int(seconds)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{int((seconds - whole) * 1e6):06d}Z"


def utc_of_ns(nanoseconds: int) -> str:
    """Returns a time in ns since the epoch as ISO 8601 in UTC, to the microsecond."""
    whole, rest = divmod(nanoseconds, 10**9)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{rest // 1000:06d}Z"


def is_time_of(text: str, nanoseconds: int) -> bool:
    """Returns whether a recorded time is that of a file; an older `lute` rounded it otherwise."""
    whole, rest = divmod(nanoseconds, 10**9)
    return text in (utc_of_ns(nanoseconds), utc(whole + 1e-9 * rest))


def since_epoch(moment: str | None) -> float | None:
    """Returns a time that `utc` wrote, in s since the epoch."""
    return datetime.fromisoformat(moment).timestamp() if moment else None
