"""The JSON API, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from conftest import Project
from process.helpers import start, wait_until
from web.helpers import Served, record, row, serving

if TYPE_CHECKING:
    from postgres import Server


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Project, Served]]:
    """A server, and its experiment, in which 7 runs are recorded and three were run."""
    project = Project(tmp_path_factory.mktemp("api"))
    if request.param == "postgres":
        server: Server = request.getfixturevalue("postgres")
        project.env["LUTE_DATABASE"] = server.new_database()
    project.plugin("counter")
    project.config()
    place = project.env.get("LUTE_DATABASE", project.folder / "lute.db")
    record(place, *(row(f"0000000000{n:02d}", run=str(n), parameters={"n": n, "lute_config": {}}) for n in range(7)))
    project.run_task("Counter", "-r", "21", "-s", "Count.threshold=9")
    project.run_task("Counter", "-r", "22")
    project.run_task("Breaker", "-r", "22")
    with serving(project, "-c", "config.yaml") as served:
        yield project, served


def test_runs_are_those_of_history(api: tuple[Project, Served]) -> None:
    """B4: the JSON API has the keys of `lute show --json`."""
    project, served = api
    assert served.json("/api/runs")["runs"] == project.lute("history", "-c", "config.yaml", "--json").json
    [broken] = served.json("/api/runs", task="Breaker")["runs"]
    assert (
        served.json(f"/api/runs/{broken['id']}")
        == project.lute("show", broken["id"], "-c", "config.yaml", "--json").json
    )
    assert "owner" not in broken


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"task": "Count"}, ["22", "21", "6", "5", "4", "3", "2", "1", "0"]),
        ({"task": ["Breaker", "Counter"], "run": "22"}, ["22", "22"]),
        ({"status": "failed"}, ["22"]),
        ({"status": ["FAILED", "COMPLETED"], "run": "22"}, ["22", "22"]),
        ({"text": "SHUTTER"}, ["22"]),
        ({"text": "100%"}, []),
        ({"where": "Count.threshold > 5"}, ["21"]),
        ({"where": ["n >= 2", "n < 4"]}, ["3", "2"]),
        ({"experiment": "other"}, []),
        ({"until": "2026-11-21"}, ["6", "5", "4", "3", "2", "1", "0"]),
        ({"since": "2999-01-01"}, []),
    ],
)
def test_filters(api: tuple[Project, Served], asked: dict[str, object], expected: list[str]) -> None:
    """B4: filters by Task, status, run, time, text and parameter."""
    assert [run["run"] for run in api[1].json("/api/runs", **asked)["runs"]] == expected


def test_paging_goes_through_all_runs_once(api: tuple[Project, Served]) -> None:
    """B4: pages go on where the one before ended."""
    _, served = api
    address, found = "/api/runs?limit=3&task=Count", []
    while address:
        answer = served.json(address) if "?" not in address else served.get(address).json()
        found += [run["run"] for run in answer["runs"]]
        assert len(answer["runs"]) <= 3
        address = answer["next"]
    assert found == ["22", "21", "6", "5", "4", "3", "2", "1", "0"]


@pytest.mark.parametrize(
    "asked",
    [
        "status=LOST",
        "since=soon",
        "where=frames",
        "where=frmaes>1",
        "limit=0",
        "limit=x",
        "before=x",
        "since=0001-01-01",
    ],
)
def test_what_cannot_be_asked_is_told(api: tuple[Project, Served], asked: str) -> None:
    """B4: an address that asks for nonsense gets words."""
    answer = api[1].get(f"/api/runs?{asked}")
    assert answer.status_code == 400
    assert set(answer.json()) == {"error"}


@pytest.mark.parametrize(
    "path",
    ["/api/runs/zzzz", "/api/runs/zzzz/log", "/api/runs/zzzz/events", "/api/workflows/zz", "/api/x", "/api/runs/%00"],
)
def test_what_is_not_there_is_told(api: tuple[Project, Served], path: str) -> None:
    """B4: an unknown run is no error of the server."""
    answer = api[1].get(path)
    assert answer.status_code == 404
    assert set(answer.json()) == {"error"}


def test_tasks_and_metrics(api: tuple[Project, Served]) -> None:
    """B4: metric trends over runs."""
    _, served = api
    assert served.json("/api/tasks") == {"tasks": ["Broken", "Count"]}
    assert served.json("/api/metrics", task="Count") == {"metrics": ["resolution"]}
    found = served.json("/api/metrics", task="Count", metric="resolution")["values"]
    assert [(one["run"], one["value"], one["unit"]) for one in found] == [("21", 1.91, "Å"), ("22", 1.95, "Å")]
    assert served.get("/api/metrics").status_code == 400


def test_a_log_is_sent_from_any_place_on(api: tuple[Project, Served]) -> None:
    """B4: a run's log as it is, in bytes."""
    _, served = api
    whole = served.get("/api/runs?task=Count&run=21").json()["runs"][0]["id"]
    data = b"frame 0 \xc3\xa9\nframe 1 \xc3\xa9\nframe 2 \xc3\xa9\nthe last line\n"
    for offset in (0, 9, len(data), 10**9):
        answer = served.get(f"/api/runs/{whole}/log?offset={offset}")
        assert answer.content == data[offset:]
        assert answer.headers["content-type"].startswith("text/plain")
    assert served.get(f"/api/runs/{whole}/log?offset=-1").status_code == 400
    assert served.get("/api/runs/000000000001/log").status_code == 404


def test_events_tell_a_run_as_it_goes(api: tuple[Project, Served]) -> None:
    """B4: live by server-sent events: status, progress and log; they end with the run."""
    project, served = api
    gate = project.folder / "gate"
    run = start(project, "run", "Counter", "-c", "config.yaml", "-q", "-r", "30", "-s", f"Count.go_on={gate}")
    try:
        wait_until(lambda: served.json("/api/runs", run="30")["runs"], "the run is recorded")
        [live] = served.json("/api/runs", run="30")["runs"]
        states, text, ended = [], "", []
        for name, data in served.events(f"/api/runs/{live['id']}/events"):
            if name == "state":
                states.append(data)
            elif name == "log":
                text += data["text"]
                assert data["offset"] == len(text.encode())
            else:
                ended.append(data)
            if "frame 2" in text and (states[-1]["progress"] or {}).get("done") == 3:
                gate.touch()
    finally:
        gate.touch()
        run.communicate(timeout=30)
    assert text == "frame 0 é\nframe 1 é\nframe 2 é\nthe last line\n"
    assert ended == [{"status": "COMPLETED"}]
    assert "RUNNING" in [state["status"] for state in states]
    assert states[-1]["status"] == "COMPLETED"
    assert states[-1]["metrics"]["resolution"]["text"] == "1.95 Å"
    again = list(served.events(f"/api/runs/{live['id']}/events?offset=11"))
    assert [name for name, _ in again] == ["state", "log", "end"]
    assert again[1][1]["text"] == text[10:]


def test_cancel_reaches_the_run(api: tuple[Project, Served]) -> None:
    """B4: a run is cancelled from the page, by whom and why is in its reason."""
    project, served = api
    run = start(project, "run", "Counter", "-c", "config.yaml", "-q", "-r", "31", "-s", "Count.go_on=never")
    found = wait_until(lambda: served.json("/api/runs", run="31", status="RUNNING")["runs"], "the run is recorded")
    refused = served.known.post(f"/runs/{found[0]['id']}/rerun")
    assert (refused.status_code, "when it has ended" in refused.text) == (400, True)
    assert served.known.post(f"/runs/{found[0]['id']}/cancel", data={"reason": "beam is down"}).status_code == 200
    run.communicate(timeout=30)
    assert run.returncode == 143
    ended = served.json(f"/api/runs/{found[0]['id']}")
    assert ended["status"] == "CANCELLED"
    assert "on the web page" in ended["reason"]
    assert "beam is down" in ended["reason"]


def test_a_run_is_repeated(api: tuple[Project, Served]) -> None:
    """B4: a run that has ended is run again from the page; the new run says of which, and why not is told."""
    project, served = api
    done = served.json("/api/runs", task="Count", status="COMPLETED")["runs"][0]
    answer = served.known.post(f"/runs/{done['id']}/rerun", timeout=40)
    assert answer.status_code == 200, answer.text
    new = answer.json()["id"]
    ended = wait_until(
        lambda: (found := served.json(f"/api/runs/{new}"))["status"] == "COMPLETED" and found, "the new run has ended"
    )
    assert new != done["id"]
    assert ended["sources"]["rerun of"] == done["id"]
    assert ended["parameters"]["threshold"] == done["parameters"]["threshold"]
    plugin = project.folder / "tasks.py"
    plugin.rename(plugin.with_suffix(".gone"))
    try:
        answer = served.known.post(f"/runs/{done['id']}/rerun", timeout=40)
    finally:
        plugin.with_suffix(".gone").rename(plugin)
    assert (answer.status_code, "tasks.py" in answer.text) == (400, True), answer.text


def test_workflow_runs(api: tuple[Project, Served]) -> None:
    """B4: workflow runs and their steps."""
    project, served = api
    project.write("workflow.yaml", "steps:\n  first: {task: Counter}\n  second: {task: Breaker, needs: [first]}\n")
    project.lute("workflow", "run", "workflow.yaml", "-c", "config.yaml", "-r", "40")
    [found] = served.json("/api/workflows")["workflows"]
    assert [(step["name"], step["status"]) for step in found["steps"]] == [("first", "COMPLETED"), ("second", "FAILED")]
    assert served.json(f"/api/workflows/{found['id']}") == found
    assert not {"owner", "definition"} & found.keys()
    page = served.get(f"/workflows/{found['id']}").text
    assert page.count(f"/runs/{found['steps'][0]['id']}") == 1
    assert "<svg" in page
