"""nan and infinities in what a run gave: floats to all who ask, texts where they are printed."""

from __future__ import annotations

import json
import math
import sqlite3
from typing import Any

import psycopg
import pytest

from conftest import Project
from lute import records
from postgres import Server

PRINTED = {
    "v": "nan",
    "text": "nan",
    "rows": ["inf", "-inf", "inf"],
    "~float": "nan",
    "own": {"~float": "inf"},
}
NAN = float("nan")


@pytest.fixture
def shelf(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose Task gives such numbers; the test is in its folder."""
    project.plugin("notfinite")
    project.config()
    monkeypatch.chdir(project.folder)
    return project


def steps(project: Project, text: str) -> dict[str, dict[str, Any]]:
    """Runs a workflow. Returns what `--json` says of each step."""
    project.write("flow.yaml", text)
    outcome = project.lute("workflow", "run", "flow.yaml", "-c", "config.yaml", "--json", "-q")
    return {step["name"]: step for step in outcome.json["steps"]}


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_they_are_floats_in_python_and_texts_in_json(shelf: Project, database: str, request: Any) -> None:
    """C5: `lute.records` gives floats, JSON texts; a text `nan` stays a text, a dict of the user's stays that."""
    place = "lute.db"
    if database == "postgres":
        server: Server = request.getfixturevalue("postgres")
        place = server.new_database()
        shelf.config(header=f"database: {json.dumps(place)}")
    found = shelf.run_task("Giver")
    metrics = {"m": {"value": "nan", "unit": ""}, "top": {"value": "inf", "unit": ""}}
    assert (found["payload"], found["metrics"]) == (PRINTED, metrics)
    for command in (["show", "last"], ["history"]):
        printed = shelf.lute(*command, "-c", "config.yaml", "--json").json
        printed = printed[0] if isinstance(printed, list) else printed
        assert (printed["payload"], printed["metrics"]) == (PRINTED, metrics)
    with records.open("config.yaml") as kept:
        run = kept.get("last")
        assert kept.latest("Give", run=7)["rows"][0] == math.inf
    payload = run.payload()
    assert math.isnan(payload["v"])
    assert payload["rows"] == [math.inf, -math.inf, "inf"]
    assert (payload["text"], payload["~float"], payload["own"]) == ("nan", "nan", {"~float": "inf"})
    assert math.isnan(run.metrics["m"]["value"])
    assert run.metrics["top"]["value"] == math.inf


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_the_view_of_a_task_has_them_as_texts(shelf: Project, database: str, request: Any) -> None:
    """B2, C5: the table-shaped view can be read with any SQL tool."""
    query = 'SELECT "result.payload" FROM "Give" ORDER BY started'
    if database == "postgres":
        server: Server = request.getfixturevalue("postgres")
        place = server.new_database()
        shelf.config(header=f"database: {json.dumps(place)}")
    shelf.run_task("Giver", "-s", "Give.alone=true")
    shelf.run_task("Giver")
    if database == "postgres":
        with psycopg.connect(place) as connection:
            rows = connection.execute(query).fetchall()
    else:
        rows = sqlite3.connect("lute.db").execute(query).fetchall()
    assert rows[0] == ("nan",)
    assert json.loads(rows[1][0])["~dict"]["text"] == "nan"


@pytest.mark.parametrize(
    "condition",
    [
        "steps.a.result.v > 0.3",
        "steps.a.result.v <= 0.3",
        "steps.a.metrics.m < 1",
        "steps.a.metrics.m == steps.a.metrics.m",
        "steps.a.result.v != 0",
        "0 < steps.a.result.v",
        "steps.a.result.v in [1, 2]",
        "steps.a.result.rows[0] < 1e300",
        "steps.a.metrics.top <= 5",
    ],
)
def test_a_comparison_with_nan_is_false_and_no_error(shelf: Project, condition: str) -> None:
    """C5: the step is left out, as by any condition that does not hold."""
    found = steps(shelf, f"steps:\n  a: Giver\n  b: {{task: User, needs: a, when: '{condition}'}}\n")
    assert (found["a"]["status"], found["b"]["status"]) == ("COMPLETED", "SKIPPED"), found["b"]


def test_steps_and_parameters_get_floats(shelf: Project) -> None:
    """C5: a step's value of nan or infinity reaches the next one's parameters as a float."""
    given = "{taken: 1, value: '{{ steps.a.result.v }}', number: '{{ steps.a.metrics.m }}'}"
    more = "{taken: 1, value: '{{ steps.a.result.text }}', number: '{{ steps.a.result.rows[1] }}'}"
    held = 'steps.a.result.rows[0] > 1e300 and steps.a.result.text == "nan"'
    found = steps(
        shelf,
        "steps:\n  a: Giver\n"
        f"  b: {{task: User, needs: a, parameters: {given}}}\n"
        f"  c: {{task: User, needs: a, parameters: {more}, when: '{held}'}}\n",
    )
    assert {step["status"] for step in found.values()} == {"COMPLETED"}, found
    with records.open() as kept:
        payloads = {run.step: run.payload() for run in kept.find(task="Use")}
    assert payloads["b"] == ["1", "nan", "nan"]
    assert payloads["c"] == ["1", "'nan'", "-inf"]


def test_a_result_of_nan_is_taken_from_an_earlier_run(shelf: Project) -> None:
    """A5, C5: `FromResult` gives the float."""
    shelf.run_task("Giver", "-s", "Give.alone=true")
    assert shelf.run_task("User")["payload"][0] == "nan"


def test_older_rows_can_be_read(shelf: Project) -> None:
    """B2: a metric that was kept as null is nan to conditions; a text stays one."""
    shelf.run_task("Giver")
    with sqlite3.connect("lute.db") as connection:
        connection.execute("""UPDATE lute_runs SET metrics = '{"m": {"value": null, "unit": ""}}', payload = '"nan"'""")
    with records.open() as kept:
        run = kept.get("last")
    assert (run.payload(), run.metrics["m"]["value"]) == ("nan", None)
    assert "nan" in shelf.lute("show", "last", "-c", "config.yaml").out


def test_two_runs_with_nan_do_not_differ(shelf: Project) -> None:
    """B: nan does not equal itself, and is the same result."""
    one, two = (shelf.run_task("Giver")["id"] for _ in range(2))
    found = shelf.lute("diff", one, two, "-c", "config.yaml", "--json").json
    assert found["differences"].keys().isdisjoint({"result", "metrics"}), found
