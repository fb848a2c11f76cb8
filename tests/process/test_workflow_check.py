"""Parameters of steps are judged before anything starts, as far as they can be known then."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from conftest import Project
from lute import plugins
from lute.config.config_file import AS_WRITTEN, read_config
from lute.record.store import Record
from lute.workflows import definition
from lute.workflows.prepared import PreparedWorkflow
from lute.workflows.state import Options
from process.flows import Flow


@pytest.fixture
def flow(project: Project) -> Iterator[Flow]:
    """A project whose Tasks want something of their parameters."""
    made = Flow(project)
    project.plugin("checked", "more.py")
    yield made
    made.close()


def configured(flow: Flow, tasks: str = "{}") -> None:
    """Writes the YAML file, with both plug-ins."""
    path = flow.project.config(tasks)
    path.write_text(path.read_text().replace("[tasks.py]", "[tasks.py, more.py]"))


def refused(flow: Flow, *arguments: str) -> list[str]:
    """What is told where nothing is started: a line for each problem."""
    outcome = flow.lute("run", "flow.yaml", "--json", *arguments)
    assert outcome.code == 2, outcome
    assert not (flow.folder / "ran.txt").exists()
    assert flow.lute("list").out == "", "no workflow run is recorded"
    lines: list[str] = outcome.json["error"].splitlines()
    return lines


def test_all_that_can_be_known_is_told_at_once(flow: Flow) -> None:
    """B3: wrong parameters of later steps: every one, at its place in the file that has it; nothing is started."""
    configured(flow, "Cut: { count: many }\nSh: { flag: 3 }")
    flow.steps(
        """
        first: { task: Shell, parameters: { code: "echo first >> ran.txt" } }
        low:
          task: Cutter
          needs: first
          parameters:
            cut: -1
            word: "{{ steps.first.result }}"
        high: { task: Cutter, needs: first, parameters: { cut: "{{ no.such.name }}" } }
        none: { task: Cutter, needs: first, foreach: [1], parameters: { word: "{{ item }}" } }
        lost: { task: Loser, needs: first }
        """
    )
    told = refused(flow)
    places = [(".".join(line.split(":")[:2]), line.split(": ", 1)[1]) for line in told]
    assert [(place, text.split(",")[0]) for place, text in places] == [
        ("config.yaml.8", "Cut.cut must be given"),
        ("config.yaml.8", "Lost.cut: not given"),
        ("config.yaml.8", "Cut.count: Input should be a valid integer"),
        ("flow.yaml.7", "step low: Cut.cut: Input should be greater than 0 (got -1)"),
        ("flow.yaml.9", "step high: {{ no.such.name }}: there is no 'no.such.name' in this file."),
    ]
    assert told[0].endswith("(step none)")
    assert told[2].endswith("(steps low, high, none)")


def test_unknown_names_in_conditions(flow: Flow) -> None:
    """B3: a name in a condition that nothing has is told at its place before anything starts, as in a parameter."""
    configured(flow, "limit: 3")
    flow.steps(
        """
        first: { task: Shell, parameters: { code: "echo first >> ran.txt" } }
        rule: { task: Shell, needs: first, when: bogus_rule }
        more:
          task: Shell
          needs: first
          when: { rule: all_done, if: "limit > 3 and nope > 3" }
        item: { task: Shell, needs: first, foreach: [1], when: "item > 0" }
        good: { task: Shell, needs: first, when: "steps.first.result == limit" }
        """
    )
    told = refused(flow)
    assert [line.split(": ")[0] for line in told] == ["flow.yaml:3:38", "flow.yaml:7:5", "flow.yaml:8:52"]
    for line, name in zip(told, ("bogus_rule", "nope", "item"), strict=True):
        assert f"there is no {name!r}" in line


def test_what_an_earlier_step_may_mend_is_not_refused(flow: Flow) -> None:
    """B3: files that a step before writes, results, items: judged when their turn comes, and right then."""
    configured(flow)
    flow.steps(
        """
        make: { task: Shell, parameters: { code: "echo 3 | tee made.txt made.1; echo 2" } }
        cut: { task: Cutter, needs: make, parameters: { cut: 2, word: made.txt } }
        read: { task: Reader, needs: make, parameters: { in_file: made.txt } }
        each: { task: Reader, needs: make, foreach: { files: "made.*" }, parameters: { in_file: "{{ item }}" } }
        need: { task: Needer, needs: cut }
        find: { task: Finder, needs: make }
        """
    )
    row = flow.run()
    assert set(row["states"].values()) == {"COMPLETED"}, row


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("task: Reader, parameters: { in_file: not-there }", "Path does not point to a file"),
        ("task: Cutter, parameters: { cut: 1, word: bad }", "bad is no good word"),
        ("task: Finder", "in_file must be given"),
    ],
)
def test_a_first_step_is_judged_in_full(flow: Flow, step: str, message: str) -> None:
    """B3: nothing comes before it that could make a missing file, or mend what a validator of a plug-in finds."""
    configured(flow)
    flow.steps(f"first: {{ {step} }}")
    assert message in "\n".join(refused(flow))
    flow.steps(f"before: Shell\nfirst: {{ {step}, needs: before }}")
    assert flow.run(code=1)["states"] == {"before": "COMPLETED", "first": "FAILED"}


def test_the_command_line_is_above_a_step(flow: Flow) -> None:
    """B3: what `--set` gives is judged instead of a step's own, and told as what it is."""
    configured(flow)
    flow.steps("one: { task: Cutter, parameters: { cut: x } }")
    assert refused(flow)[0].startswith("flow.yaml:2:38: step one: Cut.cut: ")
    assert refused(flow, "-s", "Cut.cut=-1")[0].startswith("--set Cut.cut: Cut.cut: ")
    assert flow.run("-s", "Cut.cut=1")["states"] == {"one": "COMPLETED"}


def test_a_dry_run_tells_what_a_run_would(flow: Flow) -> None:
    """B3: `--dry-run` of what would be refused is refused."""
    configured(flow)
    flow.steps("one: { task: Cutter, parameters: { cut: x } }")
    assert refused(flow, "--dry-run") == refused(flow)


def test_what_does_not_run_is_not_judged(flow: Flow) -> None:
    """B3: steps that are not chosen, or that completed before a resume, may have become wrong."""
    configured(flow)
    flow.steps(
        "a: { task: Cutter, parameters: { cut: 1 } }\nb: { task: Shell, needs: a, parameters: { code: '[ -e go ]' } }"
    )
    row = flow.run(code=1)
    configured(flow, "Cut: { count: many }")
    (flow.folder / "go").touch()
    assert flow.run("--resume", row["id"], file="")["states"] == {"a": "COMPLETED", "b": "COMPLETED"}
    assert flow.run("--only", "b")["states"]["b"] == "COMPLETED"
    assert flow.lute("run", "flow.yaml").code == 2


def test_a_refused_resume_leaves_the_workflow_run_as_it_was(flow: Flow) -> None:
    """B3: a `--resume` that starts nothing is no run: the next one goes on."""
    configured(flow)
    flow.steps(
        "a: { task: Shell, parameters: { code: '[ -e go ]' } }\nb: { task: Cutter, needs: a, parameters: { cut: 1 } }"
    )
    row = flow.run(code=1)
    configured(flow, "Cut: { count: many }")
    assert flow.lute("run", "--resume", row["id"]).code == 2
    assert flow.lute("status", row["id"], "--json").json["status"] == "FAILED"
    configured(flow)
    (flow.folder / "go").touch()
    assert flow.run("--resume", row["id"], file="")["status"] == "COMPLETED"


def test_the_same_is_judged_once(flow: Flow) -> None:
    """B3: 10,000 steps of one Task with three different parameters are three to validate."""
    configured(flow)
    lines = [f"s{n}: {{ task: Cutter, parameters: {{ cut: 1, word: w{n % 3} }} }}" for n in range(10_000)]
    flow.steps("\n".join(lines))
    config = read_config(flow.folder / "config.yaml")
    config.load_plugins()
    [seen] = [vars(module)["SEEN"] for module in plugins.modules() if "SEEN" in vars(module)]
    with Record(flow.folder / "lute.db") as record:
        workflow = definition.load(str(flow.folder / "flow.yaml"))
        PreparedWorkflow(workflow, config, AS_WRITTEN, Options(), record).check()
    assert seen == ["w0", "w1", "w2"]
