"""What `lute workflow` prints and answers: exit codes, lines, tables, JSON, drawings."""

from __future__ import annotations

import json
import os
import subprocess
from xml.etree import ElementTree

import pytest

from process.flows import Flow, shell
from process.helpers import unread


def test_exit_2_where_nothing_was_started(flow: Flow) -> None:
    """B: bad usage, a bad workflow file, an unknown name: exit 2, with the error as JSON, and no record."""
    flow.steps("a: { task: Shel }")
    for arguments in (
        ["flow.yaml"],
        ["none.yaml"],
        ["nobody"],
        [],
        ["flow.yaml", "-j", "0"],
        ["flow.yaml", "--resume", "x"],
        ["--resume", "nothing"],
    ):
        outcome = flow.lute("run", *arguments, "--json")
        assert outcome.code == 2, outcome
        if "-j" not in arguments:  # the parser's own error is a usage
            assert outcome.json["error"]
    flow.steps("a: Shell")
    outcome = flow.lute("run", "flow.yaml", "--only", "aa", "--json")
    assert (outcome.code, "'aa'" in json.dumps(outcome.json)) == (2, True), outcome
    assert not (flow.folder / "lute.db").exists()


@pytest.mark.parametrize("text", ["{}", "[]", "[[]]", "steps: {}", "--- !LUTE_DAG\n[]"])
def test_a_workflow_has_steps(flow: Flow, text: str) -> None:
    """B: a workflow file without a step is exit 2, and no workflow run that completed."""
    (flow.folder / "flow.yaml").write_text(f"{text}\n")
    outcome = flow.lute("run", "flow.yaml", "--json")
    assert (outcome.code, "expected `steps:`" in outcome.json["error"]) == (2, True), outcome


def test_lines_and_table(flow: Flow) -> None:
    """B3: plain lines on standard error, at the end a table, and the one error that matters with its log's end."""
    flow.steps(
        f"a: Shell\nbad: {shell('echo the reason is here; exit 3', needs=['a'])}\nc: {{task: Shell, needs: bad}}"
    )
    outcome = flow.lute("run", "flow.yaml")
    assert outcome.code == 1
    for told in ("a starts", "a COMPLETED", "bad FAILED", "c BLOCKED", "the reason is here", "--resume"):
        assert told in outcome.err, outcome
    assert "\x1b" not in outcome.out + outcome.err
    assert [line.split()[:3] for line in outcome.out.splitlines()[1:4]] == [
        ["a", "Shell", "COMPLETED"],
        ["bad", "Shell", "FAILED"],
        ["c", "Shell", "BLOCKED"],
    ]


def test_quiet_and_json(flow: Flow) -> None:
    """B: `-q` says nothing while all is well; `--json` prints one object, all paths absolute, times in UTC."""
    flow.steps("a: Shell")
    outcome = flow.lute("run", "flow.yaml", "-q", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    row = outcome.json
    assert (row["name"], row["status"], row["experiment"], row["run"]) == ("flow", "COMPLETED", "exp1", "7")
    assert os.path.isabs(row["file"])
    assert os.path.isabs(row["config"])
    assert row["started"].endswith("+00:00") or row["started"].endswith("Z")
    [step] = row["steps"]
    [run] = flow.history()
    assert (step["id"], step["exit_code"], step["attempt"]) == (run["id"], 0, 1)
    assert (run["workflow"], run["step"], run["attempt"], run["managed_task"]) == (row["id"], "a", 1, "Shell")


def test_list_and_status(flow: Flow) -> None:
    """B: `lute workflow list`, newest first, and `status` of one, by the start of its id or as the last."""
    flow.steps("a: Shell\nb: { task: Shell, needs: a }")
    ids = [flow.run()["id"] for _ in range(2)]
    listed = flow.lute("list", "--json").json
    assert [row["id"] for row in listed] == ids[::-1]
    assert [row["id"] for row in flow.lute("list", "--json", "-n", "1").json] == ids[1:]
    assert flow.lute("status", ids[0], "--json").json["id"] == ids[0]
    last = flow.lute("status")
    assert (last.code, ids[1] in last.out, last.out.count("COMPLETED")) == (0, True, 3), last
    assert flow.lute("status", "nothing").code == 2
    table = flow.lute("list")
    assert "2 COMPLETED" in table.out


def test_show(flow: Flow) -> None:
    """B3: the graph as text, JSON, Mermaid and SVG, names escaped."""
    flow.steps(
        "index: Shell\nfan: { task: Shell, needs: index, foreach: [1, 2] }\njoin: { task: Shell, needs: fan, when: all_done }"
    )
    assert [line.split()[0] for line in flow.lute("show", "flow.yaml").out.splitlines()] == ["index", "fan", "join"]
    described = flow.lute("show", "flow.yaml", "--json").json
    assert [(step["name"], step["needs"]) for step in described["steps"]] == [
        ("index", []),
        ("fan", ["index"]),
        ("join", ["fan"]),
    ]
    mermaid = flow.lute("show", "flow.yaml", "--mermaid").out
    assert (mermaid.splitlines()[0], mermaid.count("-->")) == ("flowchart LR", 2)
    assert flow.lute("show", "flow.yaml", "--svg", "flow.svg").code == 0
    texts = [node.text for node in ElementTree.parse(flow.folder / "flow.svg").iter("{http://www.w3.org/2000/svg}text")]
    assert "index" in texts


def test_drawings_escape_what_they_show(flow: Flow) -> None:
    """B5: a workflow's name may hold anything, and a condition too; the drawing stays whole."""
    flow.steps("été: Shell\nb: { task: Shell, needs: été, when: '1 < 2' }", name="a.yaml")
    text = flow.text("a.yaml")
    flow.project.write("a.yaml", "name: '<script>\"&</svg>'\n" + text)
    assert flow.lute("show", "a.yaml", "--svg", "evil.svg").code == 0
    root = ElementTree.parse(flow.folder / "evil.svg").getroot()
    assert root.attrib["aria-label"] == 'Steps of <script>"&</svg>'
    assert "été" in [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]


def test_it_goes_on_though_nobody_reads(flow: Flow) -> None:
    """B1: `lute workflow run ... 2>&1 | head -1`: every step runs, and the exit code is the workflow run's."""
    flow.steps(f"a: {shell('read x < go')}\nb: {shell('exit 3', needs=['a'])}")
    os.mkfifo(flow.folder / "go")
    go = os.open(flow.folder / "go", os.O_RDWR)
    driver = flow.start("flow.yaml", stderr=subprocess.STDOUT)
    assert driver.stdout is not None
    driver.stdout.readline()
    driver.stdout.close()
    driver.stdout = None
    os.write(go, b"go\n")
    assert driver.wait(30) == 1
    os.close(go)
    assert [row["status"] for row in flow.history()] == ["COMPLETED", "FAILED"]


def test_a_result_is_read_where_progress_is_not(flow: Flow) -> None:
    """B1: standard error alone may have no reader: standard output holds the result as it would."""
    flow.steps(f"a: {shell('read x < go')}\nb: {shell('exit 3', needs=['a'])}")
    os.mkfifo(flow.folder / "go")
    go = os.open(flow.folder / "go", os.O_RDWR)
    driver = flow.start("flow.yaml", "--json")
    assert driver.stdout is not None
    assert driver.stderr is not None
    driver.stderr.close()
    os.write(go, b"go\n")
    assert json.loads(driver.stdout.read())["status"] == "FAILED"
    assert driver.wait(30) == 1
    os.close(go)


def test_a_step_keeps_its_exit_status_though_nobody_reads(flow: Flow) -> None:
    """B1: a batch system goes by the exit status of `lute workflow step`."""
    flow.steps(f"a: {shell('exit 3')}")
    identity = flow.lute("start", "flow.yaml").out.strip()
    step = ["workflow", "step", identity, "a", "-c", "config.yaml", "--json"]
    assert unread(flow.project, *step, env={"PYTHONUNBUFFERED": "1"})[0] == 1
    assert [row["status"] for row in flow.history()] == ["FAILED"]
