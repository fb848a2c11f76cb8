"""Airflow's REST API (v2): begins a DAG run and looks at it. Needs nothing of Airflow on this side.

Environment read: `LUTE_AIRFLOW_URL`, and `LUTE_AIRFLOW_TOKEN` or `LUTE_AIRFLOW_USER` and `LUTE_AIRFLOW_PASSWORD`.
"""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypedDict
from urllib.parse import quote, urlencode, urlsplit

from lute.errors import LuteError, UsageError

TIMEOUT = 30.0
"""Longest time for one answer, in s."""
PAGE = 100
"""So many entries come with one answer."""
NOT_LOGGED_IN, NOT_FOUND = 401, 404
LOOK = 1.0
"""Time between two looks at the DAG run, in s."""
PATIENCE = 300.0
"""So long Airflow may give no answer while its DAG run is waited for, in s."""
ENDED = ("success", "failed")
"""The states of a DAG run that has ended."""


class DagRunConf(TypedDict, total=False):
    """What one run of an exported DAG can be given."""

    experiment: str
    run: str
    fresh: bool


class TaskInstance(TypedDict):
    """What is read of one task in a DAG run, as Airflow tells it."""

    task_id: str
    state: str | None
    duration: float | None


class AirflowError(LuteError):
    """Airflow did not answer, or said no.

    Attributes:
        status: The HTTP status; None if there was no answer.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Airflow:
    """An Airflow, and how one logs in to it.

    Args:
        env: The environment.

    Raises:
        UsageError: The environment does not say where it is.
    """

    def __init__(self, env: Mapping[str, str] = os.environ) -> None:
        self.url = env.get("LUTE_AIRFLOW_URL", "").rstrip("/")
        self._token = env.get("LUTE_AIRFLOW_TOKEN", "")
        self._user, self._password = env.get("LUTE_AIRFLOW_USER", ""), env.get("LUTE_AIRFLOW_PASSWORD", "")
        if not self.url:
            raise UsageError("where is Airflow? Set LUTE_AIRFLOW_URL to its address, such as http://localhost:8080")
        place = urlsplit(self.url)
        if place.scheme not in ("http", "https") or not place.hostname:
            raise UsageError(f"LUTE_AIRFLOW_URL: expected http:// or https:// and a host, not {self.url!r}")
        if place.username or place.password:
            raise UsageError("LUTE_AIRFLOW_URL: user and password go into LUTE_AIRFLOW_USER and LUTE_AIRFLOW_PASSWORD")
        if not self._token and not self._user:
            raise UsageError("who asks Airflow? Set LUTE_AIRFLOW_TOKEN, or LUTE_AIRFLOW_USER and LUTE_AIRFLOW_PASSWORD")

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Returns the answer to a request; one logs in first, and again where that has run out.

        Args:
            method: `GET`, `POST` or `PATCH`.
            path: What follows `/api/v2`.
            body: What is sent as JSON.

        Raises:
            AirflowError: There was no answer, or it says no.
        """
        if not self._token:
            self._log_in()
        try:
            return self._ask(method, f"/api/v2{path}", body)
        except AirflowError as error:
            if error.status != NOT_LOGGED_IN or not self._user:
                raise
        self._log_in()
        return self._ask(method, f"/api/v2{path}", body)

    def _log_in(self) -> None:
        answer = self._ask("POST", "/auth/token", {"username": self._user, "password": self._password})
        self._token = answer["access_token"]

    def _ask(self, method: str, path: str, body: Any) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(self.url + path, data, headers, method=method)  # noqa: S310 - http(s) only
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            said = f"{error.code} to {method} {path}: {error.read(2000).decode('utf-8', 'replace')}"
            raise AirflowError(f"Airflow at {self.url} says {said}", error.code) from error
        except (OSError, ValueError) as error:
            raise AirflowError(f"Airflow at {self.url} does not answer: {error}") from error


class DagRun:
    """One run of a DAG.

    Args:
        airflow: Where it runs.
        dag_id: The DAG.
        identity: The DAG run's id.
    """

    def __init__(self, airflow: Airflow, dag_id: str, identity: str) -> None:
        self._airflow, self.dag_id, self.identity = airflow, dag_id, identity
        self._path = f"/dags/{quote(dag_id, safe='')}/dagRuns/{quote(identity, safe='')}"

    @classmethod
    def begin(cls, airflow: Airflow, dag_id: str, conf: DagRunConf) -> DagRun:
        """Begins a DAG run.

        Raises:
            UsageError: Airflow has no such DAG, or it is paused.
            AirflowError: Airflow did not answer, or says no.
        """
        path = f"/dags/{quote(dag_id, safe='')}"
        try:
            dag = airflow.ask("GET", path)
        except AirflowError as error:
            if error.status != NOT_FOUND:
                raise
            raise UsageError(_missing(airflow, dag_id)) from error
        if dag.get("is_stale"):  # its file is gone, or does not load any more
            raise UsageError(_missing(airflow, dag_id))
        if dag["is_paused"]:
            raise UsageError(f"the DAG {dag_id} is paused, so it would never run: airflow dags unpause {dag_id}")
        made = airflow.ask("POST", f"{path}/dagRuns", {"logical_date": None, "conf": dict(conf)})
        return cls(airflow, dag_id, made["dag_run_id"])

    @property
    def page(self) -> str:
        """The address of its page."""
        return f"{self._airflow.url}/dags/{quote(self.dag_id)}/runs/{quote(self.identity)}"

    def state(self) -> str:
        """Returns its state: `queued`, `running`, `success` or `failed`."""
        return str(self._airflow.ask("GET", self._path)["state"])

    def tasks(self) -> Iterator[TaskInstance]:
        """Yields what Airflow knows of its tasks."""
        offset, total = 0, 1
        while offset < total:
            part = urlencode({"limit": PAGE, "offset": offset, "order_by": "id"})
            answer = self._airflow.ask("GET", f"{self._path}/taskInstances?{part}")
            yield from answer["task_instances"]
            offset, total = offset + PAGE, answer["total_entries"]

    def given(self, task: str) -> Any:
        """Returns what a task gave; None if it gave nothing."""
        try:
            path = f"{self._path}/taskInstances/{quote(task, safe='')}/xcomEntries/return_value"
            return self._airflow.ask("GET", path)["value"]
        except AirflowError as error:
            if error.status == NOT_FOUND:
                return None
            raise

    def stop(self) -> None:
        """Marks it failed, so that Airflow stops what runs; the last task still ends the workflow run."""
        self._airflow.ask("PATCH", self._path, {"state": "failed"})


class AirflowEngine:
    """Runs a workflow as a run of its exported DAG; `wait` only looks at how it goes on.

    Args:
        dag_id: The DAG.
        conf: What this run of it is given.
        on_task: Called with what Airflow knows of each task, at each look.
        on_silence: Called with what is wrong when Airflow gave no answer, and is asked again.
    """

    def __init__(
        self,
        dag_id: str,
        conf: DagRunConf,
        on_task: Callable[[TaskInstance], None],
        on_silence: Callable[[str], None],
    ) -> None:
        self._dag_id, self._conf, self._on_task, self._on_silence = dag_id, conf, on_task, on_silence
        self._begun: DagRun | None = None
        self._answered, self._stopped_by = 0.0, ""

    @property
    def dag_run(self) -> DagRun:
        """The DAG run, once it has been submitted."""
        assert self._begun is not None, "it has not been submitted"
        return self._begun

    def submit(self) -> None:
        """Begins the DAG run.

        Raises:
            UsageError: It is not said where Airflow is, or Airflow has no such DAG, or that is paused.
            AirflowError: Airflow did not answer, or says no; nothing was started.
        """
        self._begun = DagRun.begin(Airflow(), self._dag_id, self._conf)

    def wait(self) -> None:
        """Waits until the DAG run has ended.

        Raises:
            AirflowError: Airflow has not answered for `PATIENCE` s; the DAG run may go on.
        """
        self._answered, stopped = time.monotonic(), False
        while not self._is_over():
            if self._stopped_by and not stopped:
                stopped = True
                self.dag_run.stop()
            time.sleep(LOOK)

    def _is_over(self) -> bool:
        try:
            over = self.dag_run.state() in ENDED
            for task in self.dag_run.tasks():
                self._on_task(task)
        except AirflowError as error:
            if time.monotonic() - self._answered > PATIENCE:
                raise AirflowError(f"{error}. The DAG run may go on: {self.dag_run.page}") from error
            self._on_silence(str(error))
            return False
        self._answered = time.monotonic()
        return over

    def cancel(self, by: str) -> None:
        """Has `wait` mark the DAG run failed at its next look."""
        self._stopped_by = by


def _missing(airflow: Airflow, dag_id: str) -> str:
    errors = airflow.ask("GET", "/importErrors")["import_errors"]
    told = "".join(f"\nIt could not load {one['filename']}: {one['stack_trace'].strip()[-500:]}" for one in errors)
    return (
        f"Airflow at {airflow.url} has no DAG {dag_id}. Put it into the folder where Airflow looks for DAGs, and wait"
        f" until it has: lute airflow export WORKFLOW -c FILE > .../dags/{dag_id}.py{told}"
    )
