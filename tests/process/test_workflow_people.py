"""Issue 6, the people's side: what is written at the start, reused, reported, run again and cancelled."""

from __future__ import annotations

import re
from html import unescape
from json import loads
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.dom import minidom

import pytest

from conftest import Project
from lute.graph.dag import Step, Workflow
from lute.workflows.page import html
from process.helpers import start, wait_until


def prepare(project: Project, workflow: str) -> None:
    """Writes a project with the managed Task `Shell` and a workflow."""
    project.plugin("shell")
    project.config()
    project.write("work.yaml", workflow)


def run(project: Project, *arguments: str, **keywords: Any) -> dict[str, Any]:
    """Runs the workflow. Returns what `--json` prints, with the exit code as `returncode`."""
    outcome = project.lute("workflow", "run", *arguments, "-c", "config.yaml", "--json", "-q", **keywords)
    assert outcome.out, outcome
    return {**outcome.json, "returncode": outcome.code, "stderr": outcome.err}


def reused(row: dict[str, Any]) -> list[str]:
    """Returns the names of the steps that were not run again."""
    return [step["name"] for step in row["steps"] if step["reused"]]


def test_the_workflow_that_init_writes_runs_and_is_not_run_again(project: Project) -> None:
    """B3: the workflow of `lute init`: its second step works on the result of the first; nothing is run twice."""
    assert project.lute("init").code == 0
    first = run(project, "workflow.yaml")
    assert (first["returncode"], first["status"], reused(first)) == (0, "COMPLETED", []), first
    peak = project.lute("show", first["steps"][1]["id"], "-c", "config.yaml", "--json").json
    assert peak["parameters"]["in_file"].endswith("/files/strong.dat")
    assert reused(run(project, "workflow.yaml")) == ["select", "peak"]
    assert reused(run(project, "workflow.yaml", "-s", "FindPeak.background=40")) == ["select"]
    assert reused(run(project, "workflow.yaml", "-s", "SelectPoints.threshold=120")) == []


@pytest.mark.parametrize("text", ["bbb", "b"])
def test_what_another_run_has_written_over_is_not_reused(project: Project, text: str) -> None:
    """B3: a step is run again if its output was replaced, be it by a file of the same size."""
    step = "steps: {{one: {{task: Shell, parameters: {{line: 'printf {0} > \"$0\"', out_file: out.txt}}}}}}"
    prepare(project, step.format("aaa"))
    assert reused(run(project, "work.yaml")) == []
    assert reused(run(project, "work.yaml")) == ["one"]
    project.write("other.yaml", step.format(text))
    assert reused(run(project, "other.yaml")) == []
    assert reused(run(project, "work.yaml")) == []
    assert (project.folder / "out.txt").read_text() == "aaa"


# ------------------------------------------------------------------------------------------- the report

LOOKS = """
steps:
  first: { task: Shell, parameters: { line: "echo one" } }
  wide: { task: Shell, needs: [first], foreach: [1, 2], parameters: { line: "exit {{ item }}" }, retries: 1 }
  after: { task: Shell, needs: [wide] }
"""


def links_of(text: str) -> list[str]:
    """Returns what a page links to or takes from elsewhere."""
    return [unquote(unescape(target)) for target in re.findall(r'(?:href|src)="([^"]*)"', text)]


def test_a_workflow_run_has_a_page_that_needs_nothing_else(project: Project) -> None:
    """B3, B4: graph, timeline and a table with status, reason, attempts, command and a link to the log of each step."""
    prepare(project, LOOKS)
    row = run(project, "work.yaml")
    report = Path(row["report"])
    assert report == project.folder / "lute.runs" / report.parts[-3] / row["id"] / "report.html"
    text = report.read_text()
    assert text.count("<svg") == 2
    assert "after: BLOCKED" in text
    assert "sh -c &#x27;exit 2&#x27;" in text
    assert "exited with status 2" in text
    assert text.count("wide[1]: FAILED") == 2, "two attempts are two bars"
    links = links_of(text)
    assert len(links) == 3, links
    logs = [(report.parent / link).read_text() for link in links]
    assert "one" in logs[0]
    assert "http:" not in re.sub("http://www.w3.org/2000/svg", "", text)
    assert "<script" not in text
    minidom.parseString(text[text.index("<svg") : text.index("</svg>") + 6])
    assert project.lute("workflow", "status", "-c", "config.yaml", "--json").json["report"] == row["report"]


def test_what_a_step_is_named_and_runs_is_no_html(project: Project) -> None:
    """B5: text of a YAML file cannot become part of a page's own HTML."""
    prepare(project, "steps: {one: {task: Shell, parameters: {line: 'true # </td><script>alert(1)</script>'}}}")
    text = Path(run(project, "work.yaml")["report"]).read_text()
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_a_page_links_to_pages_of_figures(project: Project) -> None:
    """B4: the page of a workflow run leads to its steps' figures, also to those of a step that was reused."""
    assert project.lute("init").code == 0
    for _ in range(2):
        report = Path(run(project, "workflow.yaml")["report"])
        pages = [link for link in links_of(report.read_text()) if "/plots/" in link]
        assert len(pages) == 1
        assert "<svg" in (report.parent / pages[0]).read_text()


def test_the_page_of_many_steps_has_the_table_only(project: Project) -> None:
    """B3: above 300 steps graph and timeline are left out, and the page says so."""
    prepare(project, "steps: {many: {task: Shell, foreach: [0]}}")
    row = run(project, "work.yaml")
    workflow = Workflow.of(Step("Shell", name="many"))
    rows = [{**row["steps"][0], "name": f"many[{number}]"} for number in range(301)]
    assert html(workflow, {**row, "steps": rows[:300]}, []).count("<svg") == 2
    text = html(workflow, {**row, "steps": rows}, [])
    assert "<svg" not in text
    assert "301 steps are more than 300" in text
    assert "many[300]" in text


def test_a_page_that_cannot_be_written_changes_nothing(project: Project) -> None:
    """B3: the report never fails the workflow; standard error says why there is none."""
    prepare(
        project,
        "steps: {one: {task: Shell, parameters: {line: 'for d in lute.runs/*/*; do mkdir -p $d/report.html/x; done'}}}",
    )
    outcome = project.lute("workflow", "run", "work.yaml", "-c", "config.yaml")
    assert outcome.code == 0, outcome
    assert "COMPLETED" in outcome.out
    assert "could not be written" in outcome.err
    assert "report.html" not in outcome.out


# --------------------------------------------------------------------------------- run again and cancel

GATE = """
steps:
  first: { task: Shell, parameters: { line: "echo first >> ran" } }
  second: { task: Shell, needs: [first], parameters: { line: "echo second >> ran; test -e gate" } }
  third: { task: Shell, needs: [second], parameters: { line: "echo third >> ran" } }
"""


def ran(project: Project) -> list[str]:
    """Returns which steps of `GATE` ran since it was last asked."""
    place = project.folder / "ran"
    lines = place.read_text().split() if place.exists() else []
    place.unlink(missing_ok=True)
    return lines


def rerun(project: Project, *arguments: str) -> dict[str, Any]:
    """Runs `lute workflow rerun`. Returns what `--json` prints."""
    outcome = project.lute("workflow", "rerun", *arguments, "-c", "config.yaml", "--json", "-q")
    assert outcome.out, outcome
    return outcome.json


def test_rerun_failed_goes_on_where_it_failed(project: Project) -> None:
    """B3: `rerun --failed` runs only what did not complete, in the same workflow run, with what `-s` changes."""
    prepare(project, GATE)
    failed = run(project, "work.yaml")
    assert (failed["status"], ran(project)) == ("FAILED", ["first", "second"])
    assert rerun(project, failed["id"], "--failed")["status"] == "FAILED"
    assert ran(project) == ["second"]
    project.write("work.yaml", "steps: {other: Shell}")
    done = rerun(project, "last", "--failed", "-s", "Shell.line=echo changed >> ran")
    assert (done["id"], done["status"], ran(project)) == (failed["id"], "COMPLETED", ["changed", "changed"])
    assert len(project.lute("workflow", "list", "-c", "config.yaml", "--json").json) == 1


def test_rerun_is_a_new_workflow_run_of_the_same(project: Project) -> None:
    """B3: `rerun`: the definition, settings and options of then; a new id."""
    prepare(project, GATE)
    project.write("gate", "")
    first = run(project, "work.yaml", "-s", "Shell.option=-ec", "--only", "first")
    assert ran(project) == ["first"]
    project.write("work.yaml", "steps: {other: Shell}")
    second = rerun(project, first["id"])
    assert ran(project) == ["first"]
    assert second["id"] != first["id"]
    assert [step["status"] for step in second["steps"]] == [step["status"] for step in first["steps"]]
    kept = project.lute("show", second["steps"][0]["id"], "-c", "config.yaml", "--json").json
    assert kept["parameters"]["option"] == "-ec"


def test_rerun_fresh_runs_what_would_be_reused(project: Project) -> None:
    """B3: `rerun` reuses what has not changed, `rerun --fresh` does not."""
    prepare(project, "steps: {one: {task: Shell, reuse: true, parameters: {line: 'echo one >> ran'}}}")
    run(project, "work.yaml")
    assert (reused(rerun(project, "last")), ran(project)) == (["one"], ["one"])
    assert (reused(rerun(project, "last", "--fresh")), ran(project)) == ([], ["one"])


def test_rerun_of_what_is_not_there(project: Project) -> None:
    """B: exit 2 with the reason as JSON."""
    prepare(project, GATE)
    run(project, "work.yaml")
    outcome = project.lute("workflow", "rerun", "abc", "-c", "config.yaml", "--json")
    assert outcome.code == 2
    assert "abc" in outcome.json["error"]


@pytest.mark.parametrize("json", [[], ["--json"]])
def test_cancel_stops_a_workflow_run(project: Project, json: list[str]) -> None:
    """B1, B3: `lute cancel` with a workflow run's id: what runs is cancelled, the rest does not start."""
    prepare(project, GATE.replace("test -e gate", "touch here; sleep 60"))
    process = start(project, "workflow", "run", "work.yaml", "-c", "config.yaml", "--json", "-q")
    try:
        wait_until((project.folder / "here").exists, "the second step runs")
        identity = project.lute("workflow", "list", "-c", "config.yaml", "--json").json[0]["id"]
        outcome = project.lute("cancel", identity, "-c", "config.yaml", "--reason", "wrong sample", *json)
        assert outcome.code == 0, outcome
        assert "wrong sample" in (outcome.json["reason"] if json else outcome.out)
        out, _ = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    row = loads(out)
    assert process.returncode == 143
    assert [step["status"] for step in row["steps"]] == ["COMPLETED", "CANCELLED", "CANCELLED"], row
    again = project.lute("cancel", identity, "-c", "config.yaml")
    assert again.code == 1
    assert "nothing to cancel" in again.err


def test_who_forgets_the_yaml_file_is_told_that_no_plug_in_is_loaded(project: Project) -> None:
    """B3: what to type next is said where a plug-in's Tasks are not known."""
    prepare(project, "steps:\n  one: Shell\n  two: Nothing\n")
    assert project.lute("workflow", "show", "work.yaml").err.splitlines() == [
        "lute: work.yaml:2:3: step one: there is no managed Task and no Task 'Shell'."
        " No plug-in is loaded: give -c FILE or -p FILE.",
        "work.yaml:3:3: step two: there is no managed Task and no Task 'Nothing'."
        " No plug-in is loaded: give -c FILE or -p FILE.",
    ]
    assert project.lute("workflow", "show", "work.yaml", "-c", "config.yaml").err.splitlines() == [
        "lute: work.yaml:3:3: step two: there is no managed Task and no Task 'Nothing'."
    ]
