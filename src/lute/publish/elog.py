"""The eLog: the experiment's electronic logbook, a web service.

Nothing here is used unless an address is configured: the facility's `elog_url`, or `$LUTE_ELOG_URL`. Needs the
extra `elog` (httpx). Every request has a time limit, and a failure is told to the caller, never raised: the
eLog does not decide about a run. A post that is not taken is kept in the work folder's outbox (`lute.publish.outbox`)
and sent again by the next post or run. Endpoints: those of the LCLS logbook (`<url>/<experiment>/ws/...`).
"""

from __future__ import annotations

import base64
import logging
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from lute.base import secrets
from lute.errors import ElogError
from lute.publish.elog_http import NOT_CONFIGURED, Request, Service, ask, check_address
from lute.publish.outbox import Attachment, Outbox, Post
from lute.record.rows import plain

if TYPE_CHECKING:
    from lute.models.base import AnalysisHeader
    from lute.record.types import JsonObject

__all__ = [
    "get_elog_params_by_run",
    "get_elog_runs_by_tag",
    "get_elog_workflows",
    "post_elog_message",
    "post_elog_run_status",
    "post_elog_run_table",
    "post_elog_workflow",
]

logger = logging.getLogger(__name__)

TIMEOUT = 5.0
"""Longest time for a question, and for a post with all that waits before it, in s."""

TRIGGERS = {
    "manual": "MANUAL",
    "run_start": "START_OF_RUN",
    "run_end": "END_OF_RUN",
    "param_is": "RUN_PARAM_IS_VALUE",
}
"""When a workflow of the eLog starts, and the eLog's word for it."""

WorkDir = str | os.PathLike[str] | None


# ------------------------------------------------------------------------------------------------- posts


def post_elog_message(
    exp: str,
    msg: str,
    *,
    tag: str | None = None,
    title: str | None = None,
    in_files: Iterable[str | tuple[str, str] | list[str]] = (),
    work_dir: WorkDir = None,
    wait: float = TIMEOUT,
) -> str | None:
    """Posts a message.

    Args:
        exp: Experiment.
        msg: Text of the message.
        tag: Its tag.
        title: Its title.
        in_files: Files to attach: paths, or pairs of path and description.
        work_dir: Folder whose outbox keeps it until it is taken. If not given: `$LUTE_WORK_DIR`, or what the
            facility says; on a laptop the current folder.
        wait: Longest time for it, in s; 0 to keep it for later.

    Returns:
        None, or why it was not taken.
    """
    fields = {"log_text": msg, "log_tags": tag, "log_title": title}
    form = {name: _clean(text) for name, text in fields.items() if text}
    if not _is_on(exp):
        return None
    try:
        files = tuple(_attachment(item) for item in in_files)
    except OSError as wrong:
        return _told(f"eLog: the file {wrong.filename} cannot be attached: {wrong.strerror}")
    return _post(_new("message", _path(exp, "new_elog_entry"), exp, form=form, files=files), work_dir, wait)


def post_elog_run_table(
    exp: str, run: int, data: Mapping[str, Any], *, work_dir: WorkDir = None, wait: float = TIMEOUT
) -> str | None:
    """Posts values into a run's row of the run table, a column a key. Returns None, or why it was not taken."""
    return _post(_run_table(exp, run, data), work_dir, wait) if _is_on(exp) else None


def post_elog_run_status(
    data: Mapping[str, Any], update_url: str | None = None, *, work_dir: WorkDir = None, wait: float = TIMEOUT
) -> str | None:
    """Posts key-value pairs to the status of the workflow's job.

    Args:
        data: What to show.
        update_url: Where to; `$JID_UPDATE_COUNTERS` if not given. Without either nothing is posted.
        work_dir: Folder whose outbox keeps it until it is taken.
        wait: Longest time for it, in s; 0 to keep it for later.

    Returns:
        None, or why it was not taken.
    """
    url = update_url or os.environ.get("JID_UPDATE_COUNTERS")
    if not url:
        logger.debug("no run status is posted: JID_UPDATE_COUNTERS is not set")
        return None
    if wrong := _unusable(url):
        return _told(wrong)
    return _post(_run_status(url, data), work_dir, wait)


def post_elog_workflow(
    exp: str,
    name: str,
    executable: str,
    wf_params: str,
    *,
    trigger: str = "run_end",
    location: str = "S3DF",
    work_dir: WorkDir = None,
    wait: float = TIMEOUT,
    **trig_args: str,
) -> str | None:
    """Creates a workflow of the eLog, or changes it.

    Args:
        exp: Experiment.
        name: The workflow's name.
        executable: Full path of what is to be run.
        wf_params: Its command-line parameters, as one text.
        trigger: `manual`, `run_start`, `run_end`, or `param_is`.
        location: Where jobs are submitted.
        work_dir: Folder whose outbox keeps it until it is taken.
        wait: Longest time for it, in s; 0 to keep it for later.
        **trig_args: For `param_is`: `trig_param` and `trig_param_val`.

    Returns:
        None, or why it was not taken.

    Raises:
        ValueError: The trigger is unknown, or its arguments are missing.
    """
    if trigger not in TRIGGERS:
        raise ValueError(f"trigger {trigger!r} is unknown: use one of {', '.join(TRIGGERS)}")
    definition = {"name": name, "executable": executable, "parameters": wf_params}
    definition |= {"trigger": TRIGGERS[trigger], "location": location}
    if trigger == "param_is":
        if not {"trig_param", "trig_param_val"} <= trig_args.keys():
            raise ValueError("the trigger param_is needs trig_param and trig_param_val")
        definition |= {"run_param_name": trig_args["trig_param"], "run_param_value": trig_args["trig_param_val"]}
    if not _is_on(exp):
        return None
    return _post(_new("workflow", _path(exp, "create_update_workflow_def"), exp, body=definition), work_dir, wait)


def _run_table(exp: str, run: int, data: Mapping[str, Any]) -> Post:
    address = f"/run_control/{quote(exp, safe='')}/ws/add_run_params"
    return _new("run_table", address, exp, query={"run_num": str(run)}, body=plain(dict(data)))


def _run_status(url: str, data: Mapping[str, Any]) -> Post:
    return _new("run_status", url, body=[{"key": str(key), "value": str(value)} for key, value in data.items()])


def _new(kind: str, address: str, experiment: str = "", **content: Any) -> Post:
    """Makes a post. What is secret in the environment is hidden in it, as in the record."""
    to_hide = secrets.secret_values(os.environ)
    hidden = {name: value if name == "files" else secrets.hide(value, to_hide) for name, value in content.items()}
    return Post(kind, address, experiment, **hidden)


def _attachment(item: str | tuple[str, str] | list[str]) -> Attachment:
    import mimetypes

    path, description = (item, Path(item).name) if isinstance(item, str) else (item[0], item[1])
    data = base64.b64encode(Path(path).read_bytes()).decode()
    return Attachment(_clean(description), mimetypes.guess_type(path)[0] or "application/octet-stream", data)


def _clean(text: str) -> str:
    """Returns a text that can be sent as UTF-8: a lone surrogate stands for a byte that is none."""
    return text.encode("utf-8", "backslashreplace").decode()


def _path(exp: str, endpoint: str) -> str:
    return f"/{quote(exp, safe='')}/ws/{endpoint}"


def _unusable(url: str) -> str | None:
    """Returns why nothing can be posted to an address of someone's own, which has to be written down."""
    if wrong := check_address(url):
        return f"eLog: {wrong}"
    if secrets.hide(url, secrets.secret_values(os.environ)) != url:
        return "eLog: the address to update has a secret of the environment in it, which would be written down"
    return None


# ---------------------------------------------------------------------------------------------- delivery


def send(post: Post, seconds: float) -> None:
    """Sends one post within a time in s.

    Raises:
        ElogError: It was not taken.
    """
    files = tuple((item.name, base64.b64decode(item.data), item.type) for item in post.files)
    request = Request("POST", post.address, post.query, post.body, post.form, files, post.key)
    ask(Service.of(post.experiment), request, seconds)


def outbox_of(work_dir: WorkDir, experiment: str = "") -> Outbox:
    """Returns the outbox of a work folder, or of the one that the environment or the facility names."""
    if work_dir is None:
        from lute.models.base import with_header_defaults

        work_dir = str(with_header_defaults({"experiment": experiment})["work_dir"])
    return Outbox(work_dir)


def finish_run(header: AnalysisHeader, parameters: Mapping[str, Any]) -> list[str]:
    """Does what is left to do when a run has ended: posts its parameters, and what waits in the outbox.

    Args:
        header: Says whose parameters they are, where the outbox is, and how long this may take.
        parameters: The run's parameters; they go to the run table and to the job's status.

    Returns:
        What was not taken, and why.
    """
    posts, told = _run_parameters(header, parameters) if parameters else ([], [])
    outbox = Outbox(header.work_dir)
    if posts:
        told += _post_all(posts, outbox, header.elog_timeout)
    elif Service.of(header.experiment).url and outbox.names():
        _deliver(outbox, header.elog_timeout)
    return told


def _run_parameters(header: AnalysisHeader, parameters: Mapping[str, Any]) -> tuple[list[Post], list[str]]:
    """Returns the posts of a run's parameters, and what cannot be posted."""
    posts, told = [], []
    experiment, run, url = header.experiment, str(header.run), os.environ.get("JID_UPDATE_COUNTERS")
    if _is_on(experiment) and experiment and run.isdecimal():
        posts.append(_run_table(experiment, int(run), parameters))
    elif _is_on(experiment):
        told.append(
            f"eLog: nothing is posted to the run table: it needs the name of an experiment and the number of a run, and"
            f" the header has {experiment!r} and {run!r}"
        )
    if url and (wrong := _unusable(url)):
        told.append(wrong)
    elif url:
        posts.append(_run_status(url, parameters))
    return posts, [_told(text) for text in told]


def _post(post: Post, work_dir: WorkDir, wait: float) -> str | None:
    return next(iter(_post_all([post], outbox_of(work_dir, post.experiment), wait)), None)


def _post_all(posts: list[Post], outbox: Outbox, wait: float) -> list[str]:
    """Keeps posts and delivers what waits. Returns why those that were not taken were not."""
    deadline = time.monotonic() + wait
    kept, told = [], []
    for post in posts:
        try:
            outbox.keep(post)
            kept.append(post.name)
        except OSError as error:
            told.append(_send_unkept(post, outbox, deadline - time.monotonic(), error))
    if kept:
        _deliver(outbox, deadline - time.monotonic())
    return [text for text in (*told, *(_fate(outbox, name) for name in kept)) if text]


def _deliver(outbox: Outbox, seconds: float) -> None:
    """Delivers what waits, and tells of what was refused."""
    if seconds <= 0:
        return
    try:
        for text in outbox.deliver(send, seconds, seconds):
            logger.warning("%s", text)
    except OSError as error:
        logger.warning("eLog: the outbox %s cannot be used: %s", outbox.folder, error)


def _fate(outbox: Outbox, name: str) -> str | None:
    """Returns why a post was not taken; None if it was. A refusal was told by whoever sent it."""
    if why := outbox.why_left(name):
        return _told(f"{why}. The post is kept in {outbox.folder}; see: lute elog status")
    return outbox.why_refused(name)


def _send_unkept(post: Post, outbox: Outbox, seconds: float, error: OSError) -> str | None:
    """Sends a post that could not be written down, once. Returns why it is lost."""
    unkept = f"The post is lost: it cannot be kept in {outbox.folder} ({error.strerror or error})"
    if seconds <= 0:
        return _told(f"eLog: there was no time to send it. {unkept}")
    try:
        send(post, seconds)
    except ElogError as wrong:
        return _told(f"{wrong}. {unkept}")
    return None


def _told(error: str) -> str:
    logger.warning("%s", error)
    return error


def _is_on(experiment: str) -> bool:
    """Returns whether there is an eLog to post to."""
    on = bool(Service.of(experiment).url)
    if not on:
        logger.debug("nothing is posted: %s", NOT_CONFIGURED)
    return on


# --------------------------------------------------------------------------------------------- questions


def get_elog_runs_by_tag(exp: str, tag: str) -> list[int]:
    """Returns the numbers of the runs that have a tag; none if the eLog cannot be asked."""
    return [int(run) for run in _get(exp, "get_runs_with_tag", {"tag": tag}) if str(run).isdecimal()]


def elog_runs(exp: str, tag: str = "") -> list[int]:
    """Returns the numbers of an experiment's runs, or of those that have a tag.

    Raises:
        ElogError: The eLog cannot be asked, or does not answer with a list.
    """
    request = (
        Request("GET", _path(exp, "get_runs_with_tag"), {"tag": tag}) if tag else Request("GET", _path(exp, "runs"))
    )
    found = ask(Service.of(exp), request, TIMEOUT)
    if found is not None and not isinstance(found, list):
        raise ElogError(f"eLog: the runs of {exp}: expected a list, got {type(found).__name__}")
    numbers = [row.get("num") if isinstance(row, dict) else row for row in found or []]
    return [int(str(number)) for number in numbers if str(number).isdecimal()]


def get_elog_params_by_run(exp: str, params: list[str], runs: list[int] | None = None) -> dict[int, JsonObject]:
    """Returns parameters of the given runs, or of all; none if the eLog cannot be asked."""
    found = {}
    for row in _get(exp, "runs", {"includeParams": "true"}):
        if isinstance(row, dict) and "num" in row and (runs is None or row["num"] in runs):
            known = row.get("params")
            found[row["num"]] = {name: known.get(name) if isinstance(known, dict) else None for name in params}
    return found


def get_elog_workflows(exp: str) -> dict[str, JsonObject]:
    """Returns an experiment's workflow definitions by name; none if the eLog cannot be asked."""
    rows = _get(exp, "workflow_definitions", {})
    return {row["name"]: row for row in rows if isinstance(row, dict) and "name" in row}


def _get(exp: str, endpoint: str, query: dict[str, str]) -> list[Any]:
    """Returns the list that the eLog answers; none, and a warning, if it does not."""
    try:
        value = ask(Service.of(exp), Request("GET", _path(exp, endpoint), query), TIMEOUT)
    except ElogError as error:
        logger.warning("%s", error)
        return []
    if value and not isinstance(value, list):
        logger.warning("eLog: %s of %s: expected a list, got %s", endpoint, exp, type(value).__name__)
    return value if isinstance(value, list) else []
