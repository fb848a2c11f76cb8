"""A value, not its class, survives `rerun`, `export` and `FromResult` (SPEC C5, CASES R11 and R21)."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import Project
from lute import records

GIVEN = """
  col: blue
  cols: [red, blue]
  by_col: {red: .inf, blue: -0.0}
  point: {x: .inf, y: 2}
  box: {corner: {x: 1}, col: blue}
  shape: {n: 4, col: blue}
  raw: "~ \\u00e9"
  anything: {1: .nan, "1": x, "~a": [1, 2.5], null: 3}
  pair: [3, c]
  text_or_path: /a/b
  path: c/d
  numbers: {1: a, 2: b}
  when: "2026-03-01T12:30:00+01:00"
  limit: .nan
"""


@pytest.fixture
def shelf(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    project.plugin("exact")
    project.config(f"Make: {GIVEN}")
    monkeypatch.chdir(project.folder)
    return project


def test_all_of_them_survive(shelf: Project) -> None:
    first = shelf.run_task("Maker")
    assert first["returncode"] == 0, first
    for _ in range(2):
        again = shelf.lute("rerun", first["id"], "-q", "--json")
        assert (again.code, again.err) == (0, ""), again
        assert again.json["payload"] == first["payload"]
        assert again.json["given"] == first["given"]
    assert shelf.lute("export", first["id"], "-o", "kept.yaml").code == 0
    assert "!exact" not in (shelf.folder / "kept.yaml").read_text()  # YAML can give all of it
    exported = shelf.lute("run", "Maker", "-c", "kept.yaml", "-q", "--json")
    assert exported.json["payload"] == first["payload"], exported


def test_another_task_takes_them_as_they_were(shelf: Project) -> None:
    first = shelf.run_task("Maker")
    taken = shelf.run_task("Taker")
    assert (taken["returncode"], taken["payload"]) == (0, first["payload"]), taken
    again = shelf.lute("rerun", taken["id"], "-q", "--json")
    assert (again.code, again.json["payload"]) == (0, first["payload"]), again
    assert shelf.lute("export", taken["id"], "-o", "kept.yaml").code == 0
    exported = shelf.lute("run", "Taker", "-c", "kept.yaml", "-q", "--json")
    assert exported.json["payload"] == first["payload"], exported
    assert shelf.lute("check", "-c", "kept.yaml").code == 0


def test_who_asks_for_another_type_gets_the_plain_form(shelf: Project) -> None:
    shelf.run_task("Maker")
    plain = shelf.run_task("Plainer")
    shape = {"n": 5, "col": "blue", "radius": 2.5}
    assert plain["payload"] == repr(["blue", "c/d", ["blue", "red"], shape, 1.0, {Path("p")}]), plain


def test_views_and_json_are_readable(shelf: Project) -> None:
    run = shelf.run_task("Maker")
    parameters = run["parameters"]
    assert (parameters["col"], parameters["cols"]) == ("blue", ["blue", "red"])
    assert parameters["by_col"] == {"red": "inf", "blue": -0.0}
    assert parameters["box"] == {"corner": {"x": 1.0, "y": 0.0}, "col": "blue"}
    assert (parameters["raw"], run["given"]["limit"]) == ("~ é", "nan")
    assert run["given"]["by_col"] == {"red": "inf", "blue": -0.0}
    assert run["given"]["numbers"] == {"1": "a", "2": "b"}
    assert "exact" not in run
    with records.open("config.yaml") as kept:
        assert kept.get("last").given["numbers"] == {1: "a", 2: "b"}


def test_what_could_not_be_kept_is_refused_before_the_start(shelf: Project) -> None:
    assert shelf.run_task("Wanter")["returncode"] == 0
    made = shelf.run_task("Maker", "-s", "Make.lost=true")
    assert made["returncode"] == 0
    refused = shelf.lute("run", "Wanter", "-c", "config.yaml", "-q", "--json")
    assert refused.code == 2, refused
    for text in ("Make.lost", "builtins.object", made["id"], "Want.lost"):
        assert text in refused.json["error"], refused
    assert shelf.run_task("Wanter", "-s", "Want.lost=3")["returncode"] == 0


def test_a_step_gives_them_to_the_next(shelf: Project) -> None:
    names = ["col", "cols", "by_col", "point", "box", "shape", "raw", "anything", "pair", "text_or_path", "path"]
    names += ["numbers", "when", "limit"]
    given = ", ".join(f"{name}: '{{{{ steps.a.parameters.{name} }}}}'" for name in names)
    shelf.write(
        "flow.yaml",
        f"steps:\n  a: Maker\n  b: {{task: Taker, needs: a, parameters: {{{given}}}}}\n"
        "  c: {task: Plainer, needs: a, parameters: {path: '{{ steps.a.parameters.path }}'},"
        " when: 'steps.a.parameters.col == \"blue\" and not steps.a.parameters.limit > 1'}\n",
    )
    done = shelf.lute("workflow", "run", "flow.yaml", "-c", "config.yaml", "--json", "-q")
    assert done.code == 0, done
    with records.open("config.yaml") as kept:
        payloads = {run.step: run.payload() for run in kept.find()}
    assert payloads["a"] == payloads["b"]
    assert "'c/d'" in payloads["c"]


def test_a_pattern_of_outputs_is_the_files_that_fitted(shelf: Project) -> None:
    shelf.write(
        "flow.yaml",
        "steps:\n  a: Writer\n  b: {task: Reader, needs: a}\n"
        "  c: {task: Reader, needs: a, parameters: {files: '{{ steps.a.parameters.files }}'}}\n",
    )
    done = shelf.lute("workflow", "run", "flow.yaml", "-c", "config.yaml", "--json", "-q")
    assert done.code == 0, done
    with records.open("config.yaml") as kept:
        payloads = {run.step: run.payload() for run in kept.find()}
    assert payloads["b"] == payloads["c"] == repr([str(shelf.folder / "part-1.txt")])


def test_a_step_with_a_value_of_another_type_runs_again(shelf: Project) -> None:
    """It was reused: 1 and "1" are the same key in JSON."""
    shelf.write("flow.yaml", "steps: {a: Writer}\n")
    payloads = []
    for value in ("{1: a}", "{'1': a}", "{'1': a}"):
        shelf.config(f"Write: {{anything: {value}}}")
        done = shelf.lute("workflow", "run", "flow.yaml", "-c", "config.yaml", "--json", "-q", "--reuse-all")
        assert done.code == 0, done
        with records.open("config.yaml") as kept:
            payloads = [run.payload() for run in kept.find()]
    assert sorted(payloads) == sorted(["{1: 'a'}", "{'1': 'a'}"])


def test_a_secret_is_hidden_in_them_too(shelf: Project) -> None:
    """B5: also in bytes, and where another Task would get it."""
    secret = "very-secret-thing"
    values = [
        "-s",
        f"Make.raw=a {secret}",
        "-s",
        f"Make.anything={{1: {{2: {secret}}}}}",
        "-s",
        f"Make.path={secret}/a",
    ]
    run = shelf.run_task("Maker", *values, env={"MY_TOKEN": secret})
    assert run["returncode"] == 0
    assert secret.encode() not in (shelf.folder / "lute.db").read_bytes()
