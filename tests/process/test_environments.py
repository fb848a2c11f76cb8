"""The header's `environments:`: scripts, modules, variables, folders and interpreters as data."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from conftest import Project
from process.flows import Flow
from process.helpers import make_bare_python

ODD = "a b $(touch hacked) `touch hacked` ; touch hacked 'é\""
"""What a shell would take apart, or do."""


@pytest.fixture
def lab(project: Project) -> Project:
    """A project with Tasks that tell their environment, a script with a fake `module`, and a program in a folder."""
    project.plugin("environments")
    project.write(
        "site/setup.sh",
        """
        export SEEN_SCRIPT="of the script, after $SEEN_OWN" SEEN="of the script"
        set -- lost arguments
        module() {  # a fake
            printf '<%s>' "$@" > modules_called
            for name in "${@:2}"; do case "$name" in broken*) echo "no module $name" >&2; return 1;; esac; done
            export SEEN_MODULES="$*" SEEN="of the modules"
        }
        """,
    )
    tool = project.write("site/bin/tool", '#!/bin/sh\neval "echo tool \\$$1"\n')
    tool.chmod(0o755)
    return project


def config(lab: Project, environments: dict[str, Any], tasks: str = "{}") -> None:
    """Writes the YAML file with `environments:`."""
    lab.config(tasks, header=f"environments: {json.dumps(environments, ensure_ascii=False)}")


def seen(lab: Project, name: str = "Seer", *arguments: str, **keywords: Any) -> dict[str, str]:
    """What a Task told of its environment."""
    row = lab.run_task(name, *arguments, **keywords)
    assert row["status"] == "COMPLETED", row
    payload: dict[str, str] = row["payload"]
    return payload


def test_everything_is_applied_in_order_after_the_executors_own(lab: Project) -> None:
    """C4: source, modules, set, path; paths are relative to the YAML file."""
    entry = {
        "source": "site/setup.sh",
        "modules": ["one/1.0", "two"],
        "set": {"SEEN_SET": ODD, "SEEN_NUMBER": 4},
        "path": ["site/bin", "/other bin"],
    }
    config(lab, {"Seen": entry})
    row = lab.lute("run", "Changed", "-c", "config.yaml", "--json", "-q").json
    found = row["payload"]
    assert found["SEEN_OWN"] == "1"
    assert found["SEEN_SCRIPT"] == "of the script, after 1"
    assert (found["SEEN_MODULES"], found["SEEN"]) == ("load one/1.0 two", "of the modules")
    assert (found["SEEN_SET"], found["SEEN_NUMBER"]) == (ODD, "4")
    assert found["PATH"].startswith(f"{lab.folder}/site/bin:/other bin:/of/the/executor:")
    assert {name for name in row["environment"] if name.startswith("SEEN")} == {
        *("SEEN", "SEEN_OWN", "SEEN_SCRIPT", "SEEN_MODULES", "SEEN_SET", "SEEN_NUMBER"),
    }
    assert not list(lab.folder.rglob("hacked"))


def test_set_goes_over_modules_and_script(lab: Project) -> None:
    """C4: the later step wins; `PATH` in `set` is put before, as `update_environment` does."""
    entry = {"source": "site/setup.sh", "modules": ["one"], "set": {"SEEN": "set", "PATH": "/set"}, "path": ["/first"]}
    config(lab, {"default": entry})
    found = seen(lab)
    assert found["SEEN"] == "set"
    assert found["PATH"].startswith("/first:/set:")


def test_names_of_modules_reach_no_shell_as_text(lab: Project) -> None:
    """C4: each is one argument of `module load`, whatever is in it."""
    names = [ODD, "$HOME", "-q", "a\nb", "*"]
    config(lab, {"Seer": {"source": "site/setup.sh", "modules": names}})
    seen(lab)
    assert (lab.folder / "modules_called").read_text() == "".join(f"<{name}>" for name in ["load", *names])
    assert not list(lab.folder.rglob("hacked"))


def test_modules_without_a_script(lab: Project) -> None:
    """C4: `module` comes from the environment, or from $MODULESHOME."""
    lab.write("home/init/bash", 'module() { export SEEN_HOME="$*"; }\n')
    config(lab, {"Seer": {"modules": ["one"]}})
    assert seen(lab, env={"MODULESHOME": str(lab.folder / "home")})["SEEN_HOME"] == "load one"
    exported = {"BASH_FUNC_module%%": '() { export SEEN_EXPORTED="$*"; }'}
    assert seen(lab, env=exported)["SEEN_EXPORTED"] == "load one"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"source": "site/setup.sh", "modules": ["broken/2"]}, "module load broken/2 failed: exit status 1"),
        ({"modules": ["one"]}, "module load one failed: exit status 127"),
        ({"source": "no.sh"}, "/no.sh, which is to be sourced, does not exist"),
    ],
)
def test_what_fails_is_told(lab: Project, entry: dict[str, Any], said: str) -> None:
    """C4, B1: the run is FAILED with the reason, and the log has what was printed."""
    config(lab, {"Seer": entry})
    row = lab.run_task("Seer", env={"MODULESHOME": ""})
    assert (row["status"], row["returncode"]) == ("FAILED", 1)
    assert said in row["reason"], row
    if "broken/2" in said:
        assert "no module broken/2" in Path(row["log"]).read_text()


def test_a_managed_task_goes_over_its_task_and_that_over_default(lab: Project) -> None:
    """C4: key by key; `set` and `path` are merged; what is for another Task has no part in it."""
    config(
        lab,
        {
            "default": {
                "set": {"SEEN_A": "d", "SEEN_B": "d", "SEEN_C": "d"},
                "path": ["/d"],
                "source": "site/setup.sh",
            },
            "Seen": {"set": {"SEEN_B": "t", "SEEN_C": "t"}, "path": ["/t"]},
            "Seer": {"set": {"SEEN_C": "m"}, "path": ["/m"], "source": ""},
            "Printed": {"set": {"SEEN_A": "other"}},
        },
    )
    found = seen(lab)
    assert [found[f"SEEN_{name}"] for name in "ABC"] == ["d", "t", "m"]
    assert found["PATH"].startswith("/m:/t:/d:")
    assert "SEEN_SCRIPT" not in found, "its own entry says that there is no script"
    other = seen(lab, "OtherSeer")
    assert [other[f"SEEN_{name}"] for name in "ABC"] == ["d", "t", "t"]
    assert other["SEEN_SCRIPT"]
    assert seen(lab, "Seen")["SEEN_C"] == "t", "by the Task's own name"


@pytest.mark.parametrize("name", ["Printer", "OwnPrinter"])
def test_a_program_is_found_on_the_path(lab: Project, name: str) -> None:
    """C4: directly, and by a class of its own."""
    config(lab, {"default": {"path": ["site/bin"], "set": {"SEEN": "here"}}})
    row = lab.run_task(name)
    assert row["status"] == "COMPLETED", row
    assert Path(row["log"]).read_text().endswith("tool here\n")


def test_another_python(lab: Project, tmp_path: Path) -> None:
    """C4: `interpreter`, relative to the YAML file."""
    lab.write(
        "far.py",
        """
        import os, sys
        from lute.tasks import Task

        class Far(Task):
            def _run(self):
                self._result.payload = {"python": sys.executable, "seen": os.environ["SEEN"]}
        """,
    )
    make_bare_python(lab.folder / "bare")
    config(lab, {"Far": {"interpreter": "bare/bin/python", "set": {"SEEN": "far"}}})
    assert seen(lab, "Farer") == {"python": str(lab.folder / "bare/bin/python"), "seen": "far"}
    config(lab, {"Seen": {"interpreter": "bare/bin/python"}})
    outcome = lab.lute("run", "Seer", "-c", "config.yaml")
    assert (outcome.code, "names no task_module" in outcome.err) == (2, True), outcome


def test_substitutions_and_places(lab: Project) -> None:
    """C4: `{{ ... }}` as everywhere; what is unknown is told with its place and the nearest name."""
    config(
        lab, {"Seen": {"set": {"SEEN": "run {{ run:04d }} of {{ $WHO }}"}, "path": ["{{ place }}"]}}, "place: site/bin"
    )
    found = seen(lab, env={"WHO": "ada"})
    assert found["SEEN"] == "run 0007 of ada"
    assert found["PATH"].startswith(f"{lab.folder}/site/bin:")
    lab.config(
        header="""
environments:
  Prnter: {set: {A: b}}
  default:
    moduls: [a]
    modules: [[1]]
  Seer:
    set: {"A=B": c}
    path: ["{{ nowhere }}"]
"""
    )
    for command, code in ((["run", "Seer"], 2), (["check"], 1)):
        outcome = lab.lute(*command, "-c", "config.yaml")
        assert outcome.code == code, outcome
        assert "config.yaml:13:12: environments.Seer.path.0: {{ nowhere }}" in outcome.out + outcome.err, outcome
    text = lab.folder / "config.yaml"
    text.write_text(text.read_text().replace("{{ nowhere }}", "there"))
    said = lab.lute("check", "-c", "config.yaml").out
    for text_ in (
        "config.yaml:7:3: environments: 'Prnter' is no Task and no managed Task. Did you mean 'Printer'?",
        "config.yaml:9:5: environments.default: 'moduls' is no part of an environment. Did you mean 'modules'?",
        "config.yaml:10:15: header.environments.default.modules.0: ",
        "config.yaml:12:5: header.environments.Seer.set: 'A=B' cannot be the name of a variable",
    ):
        assert text_ in said, (text_, said)


def test_dry_run_shows_the_change(lab: Project) -> None:
    """C4: nothing is sourced or loaded."""
    config(
        lab,
        {"Printer": {"source": "site/setup.sh", "modules": ["one", ODD], "set": {"SEEN": "x y"}, "path": ["site/bin"]}},
    )
    shown = lab.lute("run", "Printer", "-c", "config.yaml", "--dry-run", "--json").json
    assert shown["sourced"] == [str(lab.folder / "site/setup.sh")]
    assert shown["modules"] == ["one", ODD]
    assert shown["environment"]["SEEN"] == "x y"
    assert shown["environment"]["PATH"].startswith(f"{lab.folder}/site/bin:")
    out = lab.lute("run", "Printer", "-c", "config.yaml", "--dry-run").out
    assert "  module    load one (not loaded now: nothing is started)\n" in out
    assert "  set       SEEN='x y'\n" in out
    assert not (lab.folder / "modules_called").exists()
    assert not (lab.folder / "lute.runs").exists()


def test_a_run_is_repeated_in_its_environment(lab: Project) -> None:
    """C4: the record keeps the header, so that `rerun` and `export` give it again, from another folder too."""
    config(lab, {"Seer": {"source": "site/setup.sh", "modules": ["one"], "path": ["site/bin"], "set": {"SEEN": "1"}}})
    first = seen(lab)
    again = lab.lute("rerun", "last", "-c", "config.yaml", "--json", "-q").json
    wanted = {name for name in first if name.startswith("SEEN")} | {"PATH"}
    assert {name: again["payload"][name] for name in wanted} == {name: first[name] for name in wanted}
    other = lab.folder / "other" / "again.yaml"
    other.parent.mkdir()
    other.write_text(lab.lute("export", "last", "-c", "config.yaml").out)
    row = lab.lute("run", "Seer", "-c", str(other), "--json", "-q").json
    assert {name: row["payload"][name] for name in wanted} == {name: first[name] for name in wanted}


def test_secrets_are_not_recorded(lab: Project) -> None:
    """C4, B5: a secret that the header sets is hidden in the record; `rerun` takes it from the environment."""
    config(lab, {"default": {"set": {"SEEN_TOKEN": "{{ $SEEN_TOKEN }}", "SEEN": "open"}}})
    env = {"SEEN_TOKEN": "hush-hush-hush"}
    row = lab.run_task("Seer", env=env)
    assert row["status"] == "COMPLETED", row
    assert row["payload"]["SEEN_TOKEN"] == "***"
    kept = row["parameters"]["lute_config"]["environments"]["default"]["set"]
    assert kept == {"SEEN_TOKEN": "***", "SEEN": "open"}
    assert not [one for one in lab.folder.rglob("*") if one.is_file() and b"hush-hush-hush" in one.read_bytes()]
    again = lab.lute("rerun", "last", "-c", "config.yaml", env=env)
    assert again.code == 0, again
    lab.write("config.yaml", (lab.folder / "config.yaml").read_text().replace("{{ $SEEN_TOKEN }}", "written-down"))
    lab.run_task("Seer")
    refused = lab.lute("rerun", "last", "-c", "config.yaml")
    assert (refused.code, "set SEEN_TOKEN, a secret, which is not recorded" in refused.err) == (2, True), refused


def test_a_step_runs_in_it_and_again_when_it_changes(flow: Flow) -> None:
    """C4: in a workflow's steps too, and a part of a step's fingerprint."""
    project = flow.project
    project.plugin("environments")
    project.write("setup.sh", 'module() { export SEEN_MODULES="$*"; }\n')
    workflow = project.write("flow.yaml", "name: seeing\nsteps:\n  see: {task: Seer, reuse: true}\n")

    def run(entry: dict[str, Any]) -> list[dict[str, Any]]:
        config(project, {"Seer": entry})
        outcome = project.lute("workflow", "run", str(workflow), "-c", "config.yaml", "--json", "-q")
        assert outcome.code == 0, outcome
        steps: list[dict[str, Any]] = outcome.json["steps"]
        return steps

    entry = {"source": "setup.sh", "modules": ["one"], "set": {"SEEN": "1"}, "path": ["/a"]}
    [step] = run(entry)
    assert step["reused"] is False
    row = project.lute("show", step["id"], "-c", "config.yaml", "--json").json
    assert (row["payload"]["SEEN"], row["payload"]["SEEN_MODULES"]) == ("1", "load one")
    assert run(entry)[0]["reused"] is True
    for change in ({"modules": ["two"]}, {"set": {"SEEN": "2"}}, {"path": ["/b"]}, {"source": ""}):
        changed = entry | change if change != {"source": ""} else {"set": {"SEEN": "1"}, "path": ["/a"]}
        assert run(changed)[0]["reused"] is False, change
    assert run(entry)[0]["reused"] is True


def test_the_schema_tells_of_environments(lab: Project) -> None:
    """C4: an editor underlines what is no part of an environment."""
    from process.test_cli import is_valid

    schema = lab.lute("schema", "-p", "tasks.py").json
    assert is_valid(schema, schema, {"environments": {"Seen": {"set": {"A": "b"}, "modules": ["a"]}}})
    assert not is_valid(schema, schema, {"environments": {"Seen": {"moduls": ["a"]}}})


def test_names_of_built_in_tasks_and_managed_tasks_are_known(lab: Project) -> None:
    """C4: those that come with `lute` too."""
    config(lab, {"Test": {"set": {"A": "1"}}, "Tester": {"set": {"A": "2"}}})
    row = lab.run_task("Tester")
    assert (row["status"], row["environment"]["A"]) == ("COMPLETED", "2"), row
    assert os.environ.get("A") is None
