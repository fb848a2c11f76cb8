"""`lute workflow run` on this machine: side by side, results, foreach, retries, rules, cancel."""

from __future__ import annotations

import json
import signal
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from process.flows import Flow, shell
from process.helpers import alive, pids_with, wait_until

TRACE = 'echo "+ $(date +%s.%N)" >> trace; {work}; echo "- $(date +%s.%N)" >> trace'
"""Leaves when a step began and ended."""
MEET = "touch here.$$; until [ $(ls here.* | wc -l) -ge {count} ]; do sleep 0.01; done"
"""Ends only when so many are there at the same time."""


def most_at_once(flow: Flow) -> int:
    """How many steps ran at the same time, by the traces that they left."""
    events = sorted(
        (float(when), 1 if sign == "+" else -1) for sign, when in map(str.split, flow.text("trace").splitlines())
    )
    now = most = 0
    for _, change in events:
        now += change
        most = max(most, now)
    assert now == 0, "each step that began has ended"
    return most


# --------------------------------------------------------------------------------------- side by side


def test_as_many_at_once_as_asked(flow: Flow) -> None:
    """B3: `-j N`: N run side by side, and not one more."""
    code = TRACE.format(work="sleep 0.05")
    flow.steps("\n".join(f"s{i}: {shell(code)}" for i in range(9)))
    assert set(flow.run("-j", "3")["states"].values()) == {"COMPLETED"}
    assert 2 <= most_at_once(flow) <= 3


def test_steps_do_run_at_the_same_time(flow: Flow) -> None:
    """B3: steps that wait for each other's presence end, so they are there at the same time."""
    flow.steps("\n".join(f"s{i}: {shell(MEET.format(count=4), timeout=20)}" for i in range(4)))
    assert flow.run("-j", "4")["status"] == "COMPLETED"


@pytest.mark.parametrize(
    ("resources", "limits", "jobs", "most"),
    [
        ({"cores": 2}, "{}", 5, 2),
        ({"cores": 9}, "{}", 4, 1),
        ({"memory": "900G"}, "{}", 4, 1),
        ({"memory": "1M"}, "{Shell: 2}", 4, 2),
        ({}, "{Shell: 1}", 4, 1),
    ],
    ids=["cores", "more cores than there are", "memory", "limit of two", "limit of one"],
)
def test_resources_and_limits(flow: Flow, resources: Any, limits: str, jobs: int, most: int) -> None:
    """B3: cores, memory and limits of a Task bound what runs at once; what asks for too much runs alone."""
    code = TRACE.format(work="sleep 0.03")
    flow.steps("\n".join(f"s{i}: {shell(code, resources=resources)}" for i in range(5)), limits=limits)
    assert flow.run("-j", str(jobs))["status"] == "COMPLETED"
    assert most_at_once(flow) <= most


# -------------------------------------------------------------------------------------------- results


def test_a_number_for_a_text_is_as_it_was_written(flow: Flow) -> None:
    """A5: a string stays a string: `1.10` in a workflow's file is `1.10` for a parameter that is a text."""
    flow.steps("a: {task: Sh, parameters: {code: 1.10}}\nb: {task: Give, parameters: {value: 1.10}}")
    flow.run("--json", code=None)
    parameters = {row["step"]: row["parameters"] for row in flow.history()}
    assert parameters["a"]["code"] == "1.10"
    assert parameters["b"]["value"] == 1.1


def test_results_are_parameters_of_later_steps(flow: Flow) -> None:
    """B3: `{{ steps.NAME.result }}`, by `FromResult`, in a condition, and from a program's output file."""
    flow.steps(
        """
        first: { task: Giver, parameters: { value: { rate: 0.5, names: [a, "b c"], zero: 0 } } }
        my-step: { task: Giver, needs: first, parameters: { value: "{{ steps.first.result.rate }}" } }
        file: { task: Writer, needs: my-step, parameters: { text: "got {{ steps.my-step.result }}" } }
        names: { task: Giver, needs: file, parameters: { value: "{{ steps.first.result.names }}" } }
        path: { task: Giver, needs: file, parameters: { value: "{{ steps.file.result }}" } }
        taken: { task: Taker, needs: my-step }
        yes: { task: Giver, needs: first, when: "steps.first.result.rate >= 0.5", parameters: { value: 1 } }
        no: { task: Giver, needs: first, when: "steps.first.result.zero" }
        after-no: { task: Giver, needs: no }
        whatever: { task: Giver, needs: no, when: all_done, parameters: { value: "{{ steps.no.status }}" } }
        """
    )
    row = flow.run()
    given = {run["step"]: run["payload"] for run in flow.history()}
    assert given["my-step"] == 0.5
    assert flow.text("out.txt") == "in\ngot 0.5\n"
    assert given["names"] == ["a", "b c"]
    assert Path(given["path"]).name == "out.txt"
    assert given["taken"] == 0.5
    assert given["whatever"] == "SKIPPED"
    skipped = {name for name, state in row["states"].items() if state == "SKIPPED"}
    assert skipped == {"no", "after-no"}


def test_results_are_of_this_workflow_run(flow: Flow) -> None:
    """B3: two workflow runs at the same time, in one experiment and run: each takes its own results."""
    for name in ("one", "two"):
        flow.steps(
            f"""
            first: {{ task: Giver, parameters: {{ value: {name} }} }}
            hold: {shell(f"until [ -e go.{name} ]; do sleep 0.01; done", needs=["first"])}
            taken: {{ task: Taker, needs: hold }}
            named: {{ task: Giver, needs: hold, parameters: {{ value: "{{{{ steps.first.result }}}}" }} }}
            """,
            f"{name}.yaml",
        )
    drivers = [flow.start(f"{name}.yaml", "-q", "--json") for name in ("one", "two")]
    wait_until(lambda: sum(run["step"] == "hold" for run in flow.history()) == 2, "both wait")
    for name in ("two", "one"):  # who began last is not always last
        (flow.folder / f"go.{name}").touch()
    rows = [json.loads(driver.communicate(timeout=30)[0]) for driver in drivers]
    for name, row in zip(("one", "two"), rows, strict=True):
        assert row["status"] == "COMPLETED", row
        given = {run["step"]: run["payload"] for run in flow.history() if run["workflow"] == row["id"]}
        assert (given["first"], given["taken"], given["named"]) == (name, name, name), flow.history()


def test_the_nearest_of_several_steps_of_a_task_is_taken(flow: Flow) -> None:
    """B3: of two earlier steps of one Task in this workflow, `FromResult` takes the later one, each time."""
    chain = "\n".join(
        f"g{i}: {{ task: Giver, parameters: {{ value: {i} }}{f', needs: g{i - 1}' if i else ''} }}" for i in range(4)
    )
    flow.steps(chain + "\ntaken: { task: Taker, needs: g3 }")
    for seed in "12":
        flow.run(env={"PYTHONHASHSEED": seed})
        assert flow.history()[-1]["payload"] == 3


def test_foreach(flow: Flow) -> None:
    """B3: a fan-out over values, files and runs, and a join that gets a list of what they gave."""
    for name in ("a b.txt", "c.txt"):
        flow.project.write(f"in/{name}", name)
    flow.steps(
        """
        values: { task: Giver, foreach: [0, "", false, null, "x y"], parameters: { value: "{{ item }}" } }
        files: { task: Giver, foreach: { files: in/*.txt }, parameters: { value: "{{ item }}" } }
        runs: { task: Giver, foreach: { runs: "3-4,9" }, parameters: { value: "run {{ item }}" } }
        join: { task: Giver, needs: [values, files, runs], parameters: { value: "{{ steps.values.result }}" } }
        again: { task: Giver, needs: join, foreach: "{{ steps.join.result }}", parameters: { value: "{{ item }}" } }
        none: { task: Giver, foreach: [] }
        """
    )
    row = flow.run("-j", "4")
    given = {run["step"]: run for run in flow.history()}
    values = [0, "", False, None, "x y"]
    assert [given[f"values[{i}]"]["payload"] for i in range(5)] == values
    assert [given[f"files[{i}]"]["payload"] for i in range(2)] == ["in/a b.txt", "in/c.txt"]
    assert [(given[f"runs[{i}]"]["payload"], given[f"runs[{i}]"]["run"]) for i in range(3)] == [
        ("run 3", "3"),
        ("run 4", "4"),
        ("run 9", "9"),
    ]
    assert given["join"]["payload"] == values
    assert [given[f"again[{i}]"]["payload"] for i in range(5)] == values
    assert row["states"]["none"] == "SKIPPED"


# ------------------------------------------------------------------------------------------- failures


def test_retries(flow: Flow) -> None:
    """B3: retries with delay on chosen exit codes and statuses, each attempt recorded with its number."""
    code = "echo {0} >> ran.txt; date +%s.%N >> {0}.times; [ $(grep -c ^{0}$ ran.txt) -ge 3 ] || exit 75"
    flow.steps(
        f"""
        third: {shell(code.format("third"), retries={"times": 2, "delay": 0.2, "on": [75]})}
        never: {shell("echo never >> ran.txt; exit 3", retries=2)}
        other: {shell("echo other >> ran.txt; exit 3", retries={"times": 2, "on": [75, "TIMEDOUT"]})}
        slow: {shell("echo slow >> ran.txt; exec sleep 30", timeout=0.2, retries={"times": 1, "on": ["TIMEDOUT"]})}
        """
    )
    row = flow.run("-j", "4", code=1)
    assert row["states"] == {"third": "COMPLETED", "never": "FAILED", "other": "FAILED", "slow": "TIMEDOUT"}
    assert flow.ran() == {"third": 3, "never": 3, "other": 1, "slow": 2}
    runs = [(run["step"], run["attempt"], run["status"]) for run in flow.history() if run["workflow"] == row["id"]]
    assert sorted(runs) == [
        *(("never", n, "FAILED") for n in (1, 2, 3)),
        ("other", 1, "FAILED"),
        *(("slow", n, "TIMEDOUT") for n in (1, 2)),
        *(("third", n, state) for n, state in ((1, "FAILED"), (2, "FAILED"), (3, "COMPLETED"))),
    ]
    times = [float(line) for line in flow.text("third.times").split()]
    assert all(later - earlier >= 0.2 for earlier, later in pairwise(times))
    assert next(step for step in row["steps"] if step["name"] == "third")["attempt"] == 3


FAILING = """
a: Shell
bad: {{ task: Shell, parameters: {{ code: "exit 3" }} }}
after-a: {{ task: Shell, needs: a, parameters: {{ code: "{wait}" }} }}
after-bad: {{ task: Shell, needs: [a, bad] }}
after-that: {{ task: Shell, needs: after-bad }}
any: {{ task: Shell, needs: [a, bad], when: any_succeeded }}
done: {{ task: Shell, needs: [a, bad], when: all_done }}
help: {{ task: Shell, needs: [a, bad], when: any_failed }}
no-help: {{ task: Shell, needs: a, when: any_failed }}
always: {{ task: Shell, needs: [bad, after-a], when: always }}
"""


def test_a_failed_step_stops_what_needs_it_and_nothing_else(flow: Flow) -> None:
    """B3: the rules, on a step that failed: what needs it is BLOCKED, with the reason; the rest runs. Exit 1."""
    flow.steps(FAILING.format(wait="true"))
    row = flow.run(code=1)
    assert row["states"] == {
        **dict.fromkeys(("a", "after-a", "any", "done", "help", "always"), "COMPLETED"),
        "bad": "FAILED",
        "after-bad": "BLOCKED",
        "after-that": "BLOCKED",
        "no-help": "SKIPPED",
    }
    reasons = {step["name"]: step["reason"] for step in row["steps"]}
    assert "bad" in reasons["after-bad"]
    assert "after-bad" in reasons["after-that"]
    assert (row["status"], "bad" in row["reason"]) == ("FAILED", True)


def test_fail_fast(flow: Flow) -> None:
    """B3: `--fail-fast`: the first failure cancels what runs and what waits, but what is to run always. Exit 1."""
    flow.steps(
        f"""
        long: {shell("touch long; exec sleep 30")}
        bad: {shell("until [ -e long ]; do sleep 0.01; done; exit 3")}
        later: {shell("touch later", needs=["long"])}
        always: {shell("touch always", needs=["bad", "later"], when="always")}
        """
    )
    began = time.monotonic()
    row = flow.run("--fail-fast", "-j", "2", code=1)
    assert time.monotonic() - began < 20
    assert row["states"] == {"long": "CANCELLED", "bad": "FAILED", "later": "CANCELLED", "always": "COMPLETED"}
    assert (flow.folder / "always").exists()
    assert not (flow.folder / "later").exists()


# --------------------------------------------------------------------------------------------- cancel


def held(flow: Flow, code: str = "exec sleep 60") -> None:
    flow.steps(
        f"""
        a: {shell(f"touch a; {code}")}
        b: {shell(f"touch b; {code}")}
        after: {shell("touch after", needs=["a"])}
        waits: {shell("exit 1", retries={"times": 1, "delay": 60})}
        """
    )


def none_left(flow: Flow) -> None:
    wait_until(lambda: not pids_with(f"{flow.folder}/"), "no process of the workflow is left", 15)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_cancel(flow: Flow, number: int, code: int) -> None:
    """B3: Ctrl-C and SIGTERM stop all steps: 130 or 143, CANCELLED, and no process is left."""
    held(flow)
    driver = flow.start("flow.yaml", "-j", "3", "--json", "-q")
    wait_until(lambda: (flow.folder / "a").exists() and (flow.folder / "b").exists(), "both run")
    driver.send_signal(number)
    out, err = driver.communicate(timeout=20)
    assert driver.returncode == code, err
    row = json.loads(out)
    assert row["status"] == "CANCELLED"
    states = {step["name"]: step["status"] for step in row["steps"]}
    assert states["a"] == states["b"] == states["after"] == "CANCELLED"
    assert states["waits"] in ("FAILED", "CANCELLED")
    assert not (flow.folder / "after").exists()
    none_left(flow)
    assert {run["status"] for run in flow.history() if run["step"] in ("a", "b")} == {"CANCELLED"}


def test_a_second_ctrl_c_does_not_wait(flow: Flow) -> None:
    """B1: a second Ctrl-C ends what takes its time over the first."""
    flow.project.config("{}", "terminate_grace: 60\nclean_up_grace: 60")
    held(flow, "trap 'touch told' TERM; trap '' INT; while :; do sleep 0.1; done")
    driver = flow.start("flow.yaml", "-j", "3", "-q")
    wait_until(lambda: (flow.folder / "a").exists() and (flow.folder / "b").exists(), "both run")
    driver.send_signal(signal.SIGINT)
    marked = [pid for pid in pids_with(f"{flow.folder}/") if alive(pid)]
    assert marked
    wait_until((flow.folder / "told").exists, "the first is heard: two at one moment are one signal")
    driver.send_signal(signal.SIGINT)
    began = time.monotonic()
    assert driver.wait(timeout=20) == 130
    assert time.monotonic() - began < 10
    driver.communicate()
    none_left(flow)


def test_lute_cancel_of_the_workflow_run(flow: Flow) -> None:
    """B: `lute cancel ID` of one step's run stops that step, and what needs it is blocked."""
    held(flow)
    driver = flow.start("flow.yaml", "-j", "3", "-q")
    wait_until(lambda: (flow.folder / "a").exists() and (flow.folder / "b").exists(), "both run")
    [run] = [run["id"] for run in flow.history() if run["step"] == "a"]
    assert flow.project.lute("cancel", run, "-c", "config.yaml").code == 0
    wait_until(lambda: any(run["step"] == "a" and run["status"] == "CANCELLED" for run in flow.history()), "a ended")
    assert driver.poll() is None
    driver.send_signal(signal.SIGTERM)
    driver.communicate(timeout=20)
    none_left(flow)
