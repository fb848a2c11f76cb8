"""The code that a run's result depends on (SPEC C2): which files, their texts, and what follows when one changes."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from conftest import PLUGINS, Project
from lute import records


@pytest.fixture
def traced(project: Project) -> Project:
    """A project with two plug-ins, each with helpers."""
    shutil.copytree(PLUGINS / "traced_code", project.folder, dirs_exist_ok=True)
    project.config("{}", "plugins: [alpha.py, beta.py, spawning.py]")
    return project


def code(project: Project, name: str, *arguments: str, **keywords: Any) -> dict[str, str]:
    """Runs a managed Task. Returns the digests of the files that its result depends on, by name in the project."""
    run = project.run_task(name, *arguments, **keywords)
    assert run["status"] == "COMPLETED", run
    return {str(Path(file["path"]).relative_to(project.folder)): file["digest"] for file in run["code"]}


def digest(file: Path) -> str:
    """The digest of a file as it is now."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


OF_ALPHA = {"alpha.py", "helper_a.py", "pack/__init__.py", "pack/inner.py", "pack/deep.py"}


def test_each_run_names_the_files_that_it_depends_on_and_no_other(traced: Project) -> None:
    """C2, R22: what its plug-in imports, directly or not; not what another plug-in of the YAML file loaded."""
    assert set(code(traced, "AlphaRunner")) == OF_ALPHA
    assert set(code(traced, "BetaRunner")) == {"beta.py", "helper_b.py"}


@pytest.mark.parametrize("name", ["helper_b", "pack.other"])
def test_what_a_task_imports_while_it_runs(traced: Project, name: str) -> None:
    """C2: later imports count, also of what another plug-in had loaded already."""
    file = f"{name.replace('.', '/')}.py"
    traced.write(file, "FACTOR = 13\n")
    found = code(traced, "AlphaRunner", "-s", f"Alpha.lazy={name}")
    assert set(found) == OF_ALPHA | {file}
    assert found[file] == digest(traced.folder / file)


def test_a_task_in_a_new_interpreter(traced: Project) -> None:
    """C2: where the child loads everything by itself, it is its texts that count."""
    alpha = code(traced, "AlphaRunner", "-s", "Alpha.lazy=helper_b", env={"LUTE_LAUNCHER": "exec"})
    assert set(alpha) == OF_ALPHA | {"helper_b.py"}


def test_a_task_module(traced: Project) -> None:
    """C2, R3: a Task's own module, which the parent never imports, and what that imports."""
    assert set(code(traced, "AloneRunner")) == {"alpha.py", "alone.py", "helper_alone.py", *OF_ALPHA}


def test_a_traceback_does_not_show_the_hook(traced: Project) -> None:
    """An import that fails is told as Python tells it."""
    run = traced.run_task("AlphaRunner", "-s", "Alpha.lazy=no_such_module")
    log = Path(run["log"]).read_text()
    assert (run["status"], "No module named 'no_such_module'" in log, "base/imports.py" in log) == (
        "FAILED",
        True,
        False,
    )


def test_texts_are_kept_once_by_their_digest(traced: Project) -> None:
    """C2: each text as it was compiled lies in `lute.runs/code/` under its digest."""
    first = code(traced, "AlphaRunner")
    (traced.folder / "helper_a.py").write_text("FACTOR = 4\n")
    second = code(traced, "AlphaRunner")
    kept = {file.name: digest(file) for file in (traced.folder / "lute.runs" / "code").iterdir()}
    assert kept == {name: name for name in {*first.values(), *second.values()}}
    assert first["helper_a.py"] != second["helper_a.py"] == digest(traced.folder / "helper_a.py")


def test_an_edit_within_the_same_second_is_compiled(traced: Project) -> None:
    """C2: bytecode of an older text of the same size and second is never taken: what is recorded is what ran."""
    env = {"PYTHONDONTWRITEBYTECODE": ""}
    for number in range(4):
        (traced.folder / "helper_b.py").write_text(f"FACTOR = {number}\n")
        run = traced.run_task("BetaRunner", env=env)
        assert run["payload"] == number
        assert run["code"][1]["digest"] == digest(traced.folder / "helper_b.py")


def test_installed_distributions_that_are_imported(traced: Project) -> None:
    """C2: `versions` has what the code imports of what is installed, whether at its start or later."""
    import numpy
    import yaml

    (traced.folder / "helper_b.py").write_text("import yaml\n\nFACTOR = 3\n")
    versions = traced.run_task("BetaRunner")["versions"]
    assert versions["PyYAML"] == yaml.__version__
    assert "numpy" not in versions
    traced.write("late.py", "import numpy\n\nFACTOR = 1\n")
    versions = traced.run_task("AlphaRunner", "-s", "Alpha.lazy=late")["versions"]
    assert versions["numpy"] == numpy.__version__


def test_a_helper_that_changes_while_a_workflow_runs(traced: Project) -> None:
    """C2, R23: a step that has a helper loaded is recorded with the text that ran."""
    before = digest(traced.folder / "helper_b.py")
    traced.write("rewrite.sh", "#!/bin/sh\necho 'FACTOR = 99' > helper_b.py\n").chmod(0o755)
    traced.write("rewriter.py", REWRITER)
    traced.config("{}", "plugins: [beta.py, rewriter.py]")
    traced.write("flow.yaml", "steps:\n  rewrite: {task: Rewriter}\n  beta: {task: BetaRunner, needs: [rewrite]}\n")
    done = traced.lute("workflow", "run", "flow.yaml", "-c", "config.yaml", "-q")
    assert done.code == 0, done
    with records.open(traced.folder / "lute.db") as kept:
        [beta] = kept.find(task="Beta")
    after = digest(traced.folder / "helper_b.py")
    # The fast path has it loaded from the start; a new interpreter loads it when the step's turn comes.
    ran, text = (99, after) if os.environ.get("LUTE_LAUNCHER") == "exec" else (3, before)
    assert beta.payload() == ran
    assert {Path(file["path"]).name: file["digest"] for file in beta["code"]}["helper_b.py"] == text
    assert after != before


REWRITER = """
    from lute import Executor, ThirdPartyParameters


    class RewriteParameters(ThirdPartyParameters):
        executable: str = "./rewrite.sh"


    Rewriter = Executor("Rewrite")
"""


@pytest.mark.parametrize("how", ["spawn", "forkserver"])
def test_processes_of_a_task_import_its_plug_in_by_name(traced: Project, how: str) -> None:
    """P4: `multiprocessing` with spawn and forkserver works for what a plug-in file defines."""
    run = traced.run_task("Spawner", "-s", f"Spawning.how={how}", "-s", "task_timeout=30")
    assert (run["status"], run["summary"]) == ("COMPLETED", "[2, 4, 6]"), run


def test_a_payload_of_a_plug_in_s_class_is_read_elsewhere(traced: Project) -> None:
    """R13: another process reads it, also when the project is somewhere else by then."""
    traced.run_task("Spawner")
    script = "import sys; from lute import records; r = records.open(sys.argv[1]).get('last')"
    script += "; print(r.payload(unpickle=True).number)"
    argv = [sys.executable, "-c", script, f"{traced.folder}/lute.db"]
    assert Project(traced.folder.parent).run(argv).out == "2\n"
    moved = traced.folder.with_name(f"{traced.folder.name}-moved")
    traced.folder.rename(moved)
    argv[-1] = f"{moved}/lute.db"
    read = Project(moved.parent).run(argv)
    assert read.out == "2\n", read


def test_two_plug_ins_of_one_name(traced: Project) -> None:
    """A file whose name means another already is loaded all the same, under a longer name."""
    (traced.folder / "more").mkdir()
    shutil.copy(traced.folder / "beta.py", traced.folder / "more" / "alpha.py")
    traced.config("{}", "plugins: [alpha.py, more/alpha.py]")
    assert set(code(traced, "BetaRunner")) == {"more/alpha.py", "helper_b.py"}
    assert set(code(traced, "AlphaRunner")) == OF_ALPHA


def test_a_plug_in_of_a_package(traced: Project) -> None:
    """P11: a file in a package is loaded as a part of it."""
    text = (traced.folder / "beta.py").read_text().replace("from helper_b import FACTOR", "from .factor import FACTOR")
    traced.write("pack/tasks.py", text)
    traced.write("pack/factor.py", "FACTOR = 17\n")
    traced.config("{}", "plugins: [pack/tasks.py]")
    assert set(code(traced, "BetaRunner")) == {"pack/tasks.py", "pack/factor.py", "pack/__init__.py"}


@pytest.mark.parametrize("name", ["random.py", "my-tasks.py", "v1.2.py", "yaml.py", "lute.py"])
def test_plug_ins_with_odd_names(traced: Project, name: str) -> None:
    """A name that is taken by the standard library or an installed module, or that no import can write, loads."""
    (traced.folder / "odd").mkdir()
    shutil.copy(traced.folder / "beta.py", traced.folder / "odd" / name)
    traced.config("{}", f"plugins: [odd/{name}]")
    assert set(code(traced, "BetaRunner")) == {f"odd/{name}", "helper_b.py"}
