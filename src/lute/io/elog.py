"""The eLog: the experiment's electronic logbook, a web service.

Nothing here is used unless an address is configured: the facility's `elog_url`, or `$LUTE_ELOG_URL`. Needs the
extra `elog` (httpx). Every request has a time limit, and a failure is told to the caller, never raised: the
eLog does not decide about a run. Endpoints: those of the LCLS logbook (`<url>/<experiment>/ws/...`).

Authorisation, by the environment: `LUTE_ELOG_TOKEN`, or `LUTE_ELOG_USER` and `LUTE_ELOG_PASSWORD`.
"""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lute import facility
from lute.execution.logging import get_logger

__all__ = [
    "get_elog_params_by_run",
    "get_elog_runs_by_tag",
    "get_elog_workflows",
    "post_elog_message",
    "post_elog_run_status",
    "post_elog_run_table",
    "post_elog_workflow",
]

logger = get_logger(__name__)

TIMEOUT = 5.0
"""Longest time for each step of a request, in s."""

LONGEST = 15.0
"""Longest time that a run waits for the eLog, in s, also for one that answers a byte now and then."""

TRIGGERS = {
    "manual": "MANUAL",
    "run_start": "START_OF_RUN",
    "run_end": "END_OF_RUN",
    "param_is": "RUN_PARAM_IS_VALUE",
}
"""When a workflow of the eLog starts, and the eLog's word for it."""


def base_url() -> str:
    """Returns the eLog's address; empty if there is none."""
    return (os.environ.get("LUTE_ELOG_URL") or facility.current().elog_url).rstrip("/")


def _request(method: str, url: str, **keywords: Any) -> tuple[str | None, Any]:
    """Returns an error message or None, and the value that came back."""
    if not url.startswith(("http://", "https://")):
        return "no eLog is configured: set LUTE_ELOG_URL, or load a plug-in whose Facility has an elog_url", None
    try:
        import httpx
    except ImportError:
        return "the eLog needs httpx: pip install 'lute-executor[elog]'", None
    try:
        answer = httpx.request(method, url, timeout=TIMEOUT, **_authorisation(), **keywords)
        answer.raise_for_status()
        content = answer.json() if answer.content else {}
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return f"eLog: {method} {url}: {error}", None
    if isinstance(content, dict) and content.get("success") is False:
        return f"eLog: {method} {url}: {content.get('error_msg') or 'refused'}", None
    return None, content.get("value", content) if isinstance(content, dict) else content


def _authorisation() -> dict[str, Any]:
    env = os.environ
    if env.get("LUTE_ELOG_TOKEN"):
        return {"headers": {"Authorization": f"Bearer {env['LUTE_ELOG_TOKEN']}"}}
    if env.get("LUTE_ELOG_USER"):
        return {"auth": (env["LUTE_ELOG_USER"], env.get("LUTE_ELOG_PASSWORD", ""))}
    return {}


def _told(error: str | None) -> str | None:
    if error:
        logger.warning("%s", error)
    return error


def post_elog_message(
    exp: str,
    msg: str,
    *,
    tag: str | None = None,
    title: str | None = None,
    in_files: Iterable[str | tuple[str, str] | list[str]] = (),
) -> str | None:
    """Posts a message.

    Args:
        exp: Experiment.
        msg: Text of the message.
        tag: Its tag.
        title: Its title.
        in_files: Files to attach: paths, or pairs of path and description.

    Returns:
        None, or why it could not be posted.
    """
    data = {"log_text": msg, "log_tags": tag, "log_title": title}
    data = {key: value for key, value in data.items() if value}
    with ExitStack() as opened:
        files = []
        for item in in_files:
            path, description = (item, Path(item).name) if isinstance(item, str) else (item[0], item[1])
            try:
                file = opened.enter_context(open(path, "rb"))
            except OSError as wrong:
                return _told(f"eLog: the file {path} cannot be attached: {wrong.strerror}")
            kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
            files.append(("files", (description, file, kind)))
        sent: dict[str, Any] = {"files": files} if files else {}
        error, _ = _request("POST", f"{base_url()}/{exp}/ws/new_elog_entry", data=data, **sent)
        return _told(error)


def post_elog_run_table(exp: str, run: int, data: Mapping[str, Any]) -> str | None:
    """Posts values into a run's row of the run table, a column a key. Returns None, or why it failed."""
    url = f"{base_url()}/run_control/{exp}/ws/add_run_params"
    return _told(_request("POST", url, params={"run_num": run}, json=dict(data))[0])


def post_elog_run_status(data: Mapping[str, Any], update_url: str | None = None) -> str | None:
    """Posts key-value pairs to the status of the workflow's job.

    Args:
        data: What to show.
        update_url: Where to; `$JID_UPDATE_COUNTERS` if not given. Without either nothing is posted.

    Returns:
        None, or why it could not be posted.
    """
    url = update_url or os.environ.get("JID_UPDATE_COUNTERS")
    if not url:
        return None
    pairs = [{"key": str(key), "value": str(value)} for key, value in data.items()]
    return _told(_request("POST", url, json=pairs)[0])


def get_elog_runs_by_tag(exp: str, tag: str) -> list[int]:
    """Returns the numbers of the runs that have a tag; none if the eLog cannot be asked."""
    error, value = _request("GET", f"{base_url()}/{exp}/ws/get_runs_with_tag", params={"tag": tag})
    _told(error)
    return list(value or [])


def get_elog_params_by_run(exp: str, params: list[str], runs: list[int] | None = None) -> dict[int, dict[str, Any]]:
    """Returns parameters of the given runs, or of all; none if the eLog cannot be asked."""
    error, value = _request("GET", f"{base_url()}/{exp}/ws/runs", params={"includeParams": "true"})
    _told(error)
    found = {}
    for row in value or []:
        if runs is None or row["num"] in runs:
            found[row["num"]] = {name: row.get("params", {}).get(name) for name in params}
    return found


def get_elog_workflows(exp: str) -> dict[str, dict[str, Any]]:
    """Returns an experiment's workflow definitions by name; none if the eLog cannot be asked."""
    error, value = _request("GET", f"{base_url()}/{exp}/ws/workflow_definitions")
    _told(error)
    return {row["name"]: row for row in value or []}


def post_elog_workflow(
    exp: str,
    name: str,
    executable: str,
    wf_params: str,
    *,
    trigger: str = "run_end",
    location: str = "S3DF",
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
        **trig_args: For `param_is`: `trig_param` and `trig_param_val`.

    Returns:
        None, or why it could not be posted.

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
    return _told(_request("POST", f"{base_url()}/{exp}/ws/create_update_workflow_def", json=definition)[0])
