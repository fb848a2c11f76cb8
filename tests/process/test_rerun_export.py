"""A recorded run comes back: `lute rerun`, the exported YAML file, and the RO-Crate, checked by its own validator."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from conftest import Project
from lute.record.db import Record
from process.test_demo import FOLDER as DEMO
from process.test_demo import demo_python

CONTEXT = Path(__file__).resolve().parents[1] / "data" / "ro-crate-1.1-context.jsonld"


@pytest.fixture
def shelf(project: Project) -> Project:
    """A project with a Task of odd parameters, which reads a file and makes one."""
    project.plugin("rerun")
    project.write("source.txt", "given")
    project.write("templates/say.txt", "hello {{ whom }}")
    project.config("""
        Odd: {text: "0012", number: 1e-3, nested: {"x": ["no", {"y": "{{ $HOME }}"}]}, braces: '{{ "{{" }} x }}'}
        Say: {whom: world}
    """)
    version = project.write("version", "#!/bin/sh\necho say 1.0\n")
    version.chmod(0o755)
    project.env["HOME"] = "/home/someone"
    return project


def row(shelf: Project, identity: str = "last") -> dict[str, Any]:
    """A run's row."""
    with Record(shelf.folder / "lute.db") as record:
        return record.get(identity)


def own(run: dict[str, Any]) -> dict[str, Any]:
    """A run's parameters without the header."""
    return {name: value for name, value in run["parameters"].items() if name != "lute_config"}


def test_a_run_is_run_again_with_the_parameters_that_it_had(shelf: Project) -> None:
    """Issue 5.2: `lute rerun` takes all parameters as recorded, not as the YAML file says today, from where it was."""
    first = shelf.run_task("OddMaker", "-s", "Odd.whole=9", "-e", "exp2")
    shelf.config("Odd: {text: changed, number: 5}")
    (shelf.folder / "elsewhere").mkdir()
    again = shelf.lute("rerun", first["id"], "--db", str(shelf.folder), "-q", "--json")
    assert again.code == 0, again
    assert "since run" not in again.err, again
    assert own(again.json) == own(first)
    assert again.json["payload"] == first["payload"]
    assert (again.json["experiment"], again.json["managed_task"]) == ("exp2", "OddMaker")
    assert again.json["parameters"]["lute_config"]["work_dir"] == str(shelf.folder)
    assert json.dumps(own(again.json)) == json.dumps(own(first))  # 1 is not 1.0
    assert row(shelf)["sources"] == {"rerun of": first["id"]}
    assert f"rerun of             {first['id']}" in shelf.lute("show", "last").out
    assert shelf.lute("diff", first["id"], "last").code == 0


def test_it_runs_where_it_was_started_whatever_folder_one_is_in(shelf: Project) -> None:
    first = shelf.run_task("OddMaker")
    (shelf.folder / "elsewhere").mkdir()
    command = f"cd elsewhere && {sys.executable} -m lute rerun last -q --json --db .."
    again = shelf.run(["sh", "-c", command])
    assert again.json["payload"] == first["payload"]


def test_settings_change_a_run_that_is_run_again(shelf: Project) -> None:
    first = shelf.run_task("OddMaker")
    shelf.config("Odd: {text: changed}")
    set_some = ["-s", "Odd.whole=11", "-s", "Odd.nested={x: 1}", "-e", "exp3", "-s", "title=other"]
    again = shelf.lute("rerun", first["id"], "-q", "--json", *set_some).json
    assert own(again) == {**own(first), "whole": 11, "nested": {"x": 1}}
    assert (again["experiment"], again["parameters"]["lute_config"]["title"]) == ("exp3", "other")
    unknown = shelf.lute("rerun", first["id"], "-s", "Odd.whloe=1", "--json")
    assert (unknown.code, "whole" in unknown.json["error"]) == (2, True), unknown
    folders = {path.name for path in (shelf.folder / "lute.runs").glob("2*/*")}
    assert folders == {first["id"], again["id"]}  # nothing is left of what was not started
    assert shelf.lute("rerun", "no-such-run").code == 2


def test_what_has_changed_since_is_told(shelf: Project) -> None:
    """Issue 5.2: code, input files and the program's version are compared with those recorded."""
    odd = shelf.run_task("OddMaker")["id"]
    say = shelf.run_task("Say")
    assert say["versions"]["program"] == "say 1.0"
    source = shelf.folder / "tasks.py"
    source.write_text(source.read_text() + "\n# changed\n")
    shelf.write("source.txt", "another")
    shelf.write("version", "#!/bin/sh\necho say 2.0\n")
    again = shelf.lute("rerun", odd, "-q")
    assert again.code == 0
    assert f"since run {odd}: the code in {source} has changed" in again.err, again
    assert f"the input {shelf.folder}/source.txt has changed" in again.err
    said = shelf.lute("rerun", say["id"], "-q")
    assert "program was say 1.0, and is say 2.0" in said.err, said


def test_a_program_with_a_template_beside_the_yaml_file(shelf: Project) -> None:
    """A3: `templates/` beside the YAML is looked at first; so it is for the run that repeats it."""
    (shelf.folder / "plugins").mkdir()
    (shelf.folder / "tasks.py").rename(shelf.folder / "plugins" / "tasks.py")
    shelf.write(
        "config.yaml",
        "plugins: [plugins/tasks.py]\n---\nSay: {whom: '{{ 1 }} world', whom: world}\n".replace(
            "whom: '{{ 1 }} world', ", ""
        ),
    )
    first = shelf.run_task("Say")
    assert first["returncode"] == 0, first
    (shelf.folder / "said.txt").unlink()
    again = shelf.lute("rerun", "last", "-q", "--json")
    assert again.code == 0, again
    assert (shelf.folder / "said.txt").read_text() == "hello world"
    dry = shelf.lute("rerun", "last", "--dry-run", "--json").json
    assert (dry["command"], dry["templates"][0]["text"]) == (["cat", "said.txt"], "hello world")


def test_a_plugin_that_is_gone_and_a_secret_are_errors(shelf: Project) -> None:
    """B5: a secret is not recorded, and so a run with one is only run again if it is given."""
    shelf.run_task("OddMaker")
    secret = {"MY_TOKEN": "very-secret-thing"}
    used = shelf.run_task("Use", "-s", "Use.token=very-secret-thing", env=secret)["id"]
    refused = shelf.lute("rerun", used, "-q", "--json", env=secret)
    assert (refused.code, "--set Use.token=" in refused.json["error"]) == (2, True), refused
    assert shelf.lute("rerun", used, "-q", "-s", "Use.token=x", env=secret).code == 0
    assert "rerun of" in row(shelf)["sources"]
    assert row(shelf)["sources"].keys() == {"made", "rerun of"}
    assert "very-secret-thing" not in shelf.lute("export", used).out
    (shelf.folder / "tasks.py").rename(shelf.folder / "moved.py")
    gone = shelf.lute("rerun", used, "-q", "--json", "-s", "Use.token=x")
    assert (gone.code, "had a plug-in that cannot be loaded now" in gone.json["error"]) == (2, True), gone


def test_it_exits_as_the_run_does(shelf: Project) -> None:
    shelf.run_task("OddMaker")
    (shelf.folder / "source.txt").unlink()
    failed = shelf.lute("rerun", "last", "-q", "--json")
    assert (failed.code, failed.json["status"]) == (1, "FAILED")


def test_a_run_in_postgresql_is_run_again_there(shelf: Project, postgres: Any) -> None:
    """B2: the password of the record is in no row and no exported file, and the run goes to the same record."""
    from postgres import PASSWORD, QUOTED

    url = postgres.new_database()
    first = shelf.run_task("OddMaker", "--db", url)
    again = shelf.lute("rerun", first["id"], "--db", url, "-q", "--json")
    assert again.code == 0, again
    listed = shelf.lute("history", "--db", url, "--json").json
    assert [run["id"] for run in listed] == [again.json["id"], first["id"]]
    told = shelf.lute("export", first["id"], "--db", url).out
    for secret in (PASSWORD, QUOTED):
        assert secret not in told
        assert not [path for path in shelf.folder.rglob("*.yaml") if secret in path.read_text()]


def test_the_exported_yaml_runs_again_with_the_same_numbers(shelf: Project) -> None:
    """Issue 5: "its exported YAML runs again with the same numbers", also with parameters that are odd."""
    first = shelf.run_task("OddMaker")
    shelf.config("Odd: {text: changed, number: 5}")
    written = shelf.lute("export", first["id"], "-o", "kept.yaml")
    assert (written.code, written.out) == (0, f"{shelf.folder}/kept.yaml\n"), written
    again = shelf.lute("run", "OddMaker", "-c", "kept.yaml", "-q", "--json")
    assert again.code == 0, again
    assert json.dumps(own(again.json)) == json.dumps(own(first))
    assert again.json["payload"] == first["payload"]
    assert shelf.lute("check", "-c", "kept.yaml").code == 0
    assert shelf.lute("export", first["id"], "-o", "kept.yaml").code == 2  # it is there
    assert shelf.lute("export", first["id"], "-o", ".").out == f"{shelf.folder}/{first['id']}.yaml\n"


# ------------------------------------------------------------------------------------------- crates


@pytest.fixture(scope="session")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The validator's cache of what it would get from the network: RO-Crate's JSON-LD context, which is CC0."""
    import requests
    from requests.adapters import BaseAdapter, HTTPAdapter
    from requests_cache import CachedSession
    from urllib3 import HTTPResponse

    class Shelf(BaseAdapter):
        def send(self, request: Any, **keywords: Any) -> requests.Response:
            body = io.BytesIO(CONTEXT.read_bytes())
            head = {"Content-Type": "application/ld+json"}
            raw = HTTPResponse(body=body, status=200, headers=head, preload_content=False)
            return HTTPAdapter().build_response(request, raw)

        def close(self) -> None: ...

    place = tmp_path_factory.mktemp("contexts") / "http"
    with CachedSession(cache_name=str(place), backend="sqlite", expire_after=-1) as session:
        session.mount("https://", Shelf())
        session.get("https://w3id.org/ro/crate/1.1/context", headers={"Accept": "application/ld+json"})
    return place


def issues(crate: Path, profile: str, contexts: Path, level: str = "required") -> list[str]:
    """What `rocrate-validator` finds in a crate, by its number there."""
    program = Path(sys.executable).parent / "rocrate-validator"
    report = crate.with_name(f"{crate.name}.{level}.json")
    cache = ["--offline", "--cache-path", str(contexts)]
    told = ["-f", "json", "-o", str(report), "--no-paging"]
    done = subprocess.run(
        [program, "-y", "validate", str(crate), "-p", profile, "-l", level, *cache, *told],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "TERM": "dumb"},
        check=False,
    )
    assert report.exists(), done
    found = json.loads(report.read_text())
    assert found["passed"] is not bool(found["issues"]), found
    return sorted({issue["check"]["identifier"] for issue in found["issues"]})


def graph(crate: Path) -> dict[str, dict[str, Any]]:
    """The entities of a crate, by their ids."""
    entities = json.loads((crate / "ro-crate-metadata.json").read_text())["@graph"]
    return {entity["@id"]: entity for entity in entities}


NOT_RECOMMENDED = {
    "process-run-crate-0.5_3.2",  # a Task has no page of its own in the web
    "process-run-crate-0.5_5.1",  # and so its id is no URL
    "ro-crate-1.1_22.3",  # nobody published it yet
    "ro-crate-1.1_30.2",  # where the author works is not known
    "ro-crate-1.1_30.3",
}
"""What the validator recommends and is not done."""


def test_a_run_as_crate_validates(shelf: Project, contexts: Path) -> None:
    """Issue 5: "A run exported as RO-Crate validates with the library's own validator"."""
    run = shelf.run_task("OddMaker", env={"MY_TOKEN": "very-secret-thing"})
    made = ["--license", "https://spdx.org/licenses/CC0-1.0", "--author", "A. Scientist", "-o", "crate", "--json"]
    done = shelf.lute("export", run["id"], "--format", "crate", *made)
    crate = shelf.folder / "crate"
    assert (done.code, done.json) == (0, {"path": str(crate)}), done
    assert issues(crate, "process-run-crate", contexts) == []
    assert set(issues(crate, "process-run-crate", contexts, "recommended")) <= NOT_RECOMMENDED
    action = graph(crate)[f"#run-{run['id']}"]
    assert action["@type"] == "CreateAction"
    assert action["actionStatus"].endswith("CompletedActionStatus")
    assert action["startTime"][:19] == run["started"][:19]
    assert {"@id": "source.txt"} in action["object"]
    assert {"@id": "made.txt"} in action["result"]
    assert graph(crate)[f"#run-{run['id']}-number"]["value"] == 1e-3
    assert graph(crate)[f"#run-{run['id']}-metrics.length"]["unitText"] == "characters"
    instrument = graph(crate)[action["instrument"]["@id"]]
    assert (instrument["name"], instrument["hasPart"]) == ("Odd", {"@id": "code/tasks.py"})
    assert (crate / "code" / "tasks.py").read_text() == (shelf.folder / "tasks.py").read_text()
    assert json.loads((crate / "run.json").read_text())["id"] == run["id"]
    assert shelf.lute("run", "OddMaker", "-c", "crate/rerun.yaml", "-q", "--json").json["payload"] == run["payload"]


def test_what_is_large_changed_or_gone_is_described(shelf: Project, contexts: Path) -> None:
    run = shelf.run_task("OddMaker")["id"]
    (shelf.folder / "made.txt").unlink()
    source = shelf.folder / "tasks.py"
    source.write_text(source.read_text() + "\n# changed\n")
    shutil.rmtree(shelf.folder / "lute.runs/code")
    done = shelf.lute("export", run, "--format", "crate", "-o", "crate", "--largest", "0.000001")
    crate = shelf.folder / "crate"
    for told in ("tasks.py: its text is not there", "made.txt: it is gone", "source.txt: 5 bytes, larger than"):
        assert told in done.err, done
        assert told in (crate / "README.md").read_text()
    assert done.code == 0
    assert not (crate / "source.txt").exists()
    assert not (crate / "code").exists()
    assert issues(crate, "process-run-crate", contexts) == []
    named = {entity.get("name") for entity in graph(crate).values() if entity["@type"] == "CreativeWork"}
    assert {"source.txt", "made.txt"} <= named
    assert shelf.lute("export", run, "--format", "crate", "-o", "crate").code == 2  # it is there


def test_a_failed_run_as_crate_validates(shelf: Project, contexts: Path) -> None:
    shelf.run_task("OddMaker")
    (shelf.folder / "source.txt").unlink()
    failed = shelf.run_task("OddMaker")
    assert shelf.lute("export", "last", "--format", "crate", "-o", "crate").code == 0
    assert issues(shelf.folder / "crate", "process-run-crate", contexts) == []
    action = graph(shelf.folder / "crate")[f"#run-{failed['id']}"]
    assert (action["actionStatus"][-18:], action["error"]) == ("FailedActionStatus", failed["reason"])


def test_a_workflow_run_as_crate_validates(shelf: Project, contexts: Path) -> None:
    """Issue 5.2: an RO-Crate of a workflow run, by the profile Workflow Run Crate."""
    shelf.write(
        "flow.yaml",
        """
        steps:
          make: OddMaker
          use: {task: Use, needs: [make]}
    """,
    )
    secret = "postgresql://me:very-secret-thing@host/db"
    config = shelf.folder / "config.yaml"
    config.write_text(config.read_text().replace("run: 7", f"run: 7\nother_url: {secret}"))
    done = shelf.lute("workflow", "run", "flow.yaml", "-c", "config.yaml", "-q", "--json", "-s", "Odd.whole=5")
    assert done.code == 0, done
    identity, steps = done.json["id"], {step["name"]: step["id"] for step in done.json["steps"]}
    assert shelf.lute("export", identity).code == 2  # there is no one YAML file of several runs
    assert shelf.lute("export", identity, "--format", "crate", "-o", "crate").code == 0
    crate = shelf.folder / "crate"
    assert issues(crate, "workflow-run-crate", contexts) == []
    found = graph(crate)
    assert found["./"]["mainEntity"] == {"@id": "workflow.yaml"}
    assert (crate / "workflow.yaml").read_text() == (shelf.folder / "flow.yaml").read_text()
    assert found[f"#workflow-run-{identity}"]["instrument"] == {"@id": "workflow.yaml"}
    assert all(f"#run-{step}" in found for step in steps.values())
    assert found[f"#workflow-run-{identity}-Odd.whole"]["value"] == "5"
    assert shelf.lute("export", identity, "--format", "crate", "-o", "crate.zip").code == 0
    with zipfile.ZipFile(shelf.folder / "crate.zip") as kept:
        assert {"ro-crate-metadata.json", "workflow.yaml", f"runs/{steps['make']}/run.json"} <= set(kept.namelist())
    assert not [path for path in crate.rglob("*") if path.is_file() and b"very-secret-thing" in path.read_bytes()]


def unpacked(project: Project, identity: str, place: Path) -> Project:
    """Exports a run or workflow run, unpacks it in a folder, and takes the original out of the way."""
    done = project.lute("export", identity, "--format", "crate", "-o", "crate.zip")
    assert done.code == 0, done
    with zipfile.ZipFile(project.folder / "crate.zip") as kept:
        kept.extractall(place)
    project.folder.rename(project.folder.with_name("away"))
    return Project(place)


def gives_the_same(crate: Project, identity: str) -> None:
    """Looks that a run of a crate gives there what it gave."""
    done = crate.lute("rerun", identity, "--verify", "-q", "--db", "lute.db")
    assert (done.code, "gave the same as run" in done.out) == (0, True), done


def made_project(folder: Path) -> Project:
    """A project of `lute init`."""
    folder.mkdir()
    project = Project(folder)
    assert project.lute("init").code == 0
    return project


def test_a_crate_runs_wherever_it_is_unpacked(tmp_path: Path) -> None:
    """R6: with the original gone, the crate's YAML runs, its record has the run, and a rerun gives the same numbers."""
    project = made_project(tmp_path / "project")
    first = project.run_task("PeakFinder")
    project.run_task("PeakFinder", "-s", "FindPeak.background=30")
    crate = unpacked(project, first["id"], tmp_path / "far away")
    [listed] = crate.lute("history", "--db", "lute.db", "--json").json
    assert listed["plots"] == [path.replace(str(project.folder), str(crate.folder)) for path in first["plots"]]
    assert Path(listed["plots"][0]).is_file()
    again = crate.lute("run", "PeakFinder", "-c", "rerun.yaml", "-q", "--json")
    assert again.code == 0, again
    assert again.json["payload"][0] == first["payload"][0]
    assert again.json["inputs"][0]["path"] == str(crate.folder / "scan.dat")
    assert again.json["code"][0]["path"] == str(crate.folder / "code/tasks.py")
    gives_the_same(crate, first["id"])
    assert str(project.folder) not in (crate.folder / "rerun.yaml").read_text()
    assert f"lute {first['versions']['lute']}" in (crate.folder / "README.md").read_text()
    assert len(crate.lute("history", "--db", "lute.db", "--json").json) == 3


def test_a_crate_of_a_workflow_runs_wherever_it_is_unpacked(tmp_path: Path) -> None:
    """R6: all runs of a workflow, with an input from elsewhere and a template, and the workflow itself."""
    project = made_project(tmp_path / "project")
    (project.folder / "scan.dat").rename(tmp_path / "scan.dat")
    config = project.folder / "config.yaml"
    config.write_text(config.read_text().replace("data: scan.dat", 'data: "{{ $FAR }}/scan.dat"'))
    project.env["FAR"] = str(tmp_path)
    project.write("unused.py", "")
    config.write_text(config.read_text().replace("[tasks.py]", "[unused.py, tasks.py]"))
    done = project.lute("workflow", "run", "workflow.yaml", "-c", "config.yaml", "-q", "--json")
    assert done.code == 0, done
    steps = {step["name"]: step["id"] for step in done.json["steps"]}
    crate = unpacked(project, done.json["id"], tmp_path / "far away")
    (tmp_path / "scan.dat").rename(tmp_path / "hidden")
    assert (crate.folder / "data/scan.dat").is_file()
    for file in crate.folder.glob("*.yaml"):
        assert str(tmp_path) not in file.read_text()
    for name, step in (("PointSelector", "select"), ("PeakFinder", "peak")):
        again = crate.lute("run", name, "-c", f"rerun.{steps[step]}.yaml", "-q", "--json")
        assert again.code == 0, again
        gives_the_same(crate, steps[step])
    again = crate.lute("workflow", "run", "workflow.yaml", "-c", "config.yaml", "-q", "--json")
    assert again.code == 0, again
    assert not project.folder.exists()


@pytest.mark.slow
@pytest.mark.skipif(not demo_python(), reason="needs cctbx-base: make demo, or DEMO_PYTHON")
def test_a_run_of_the_demo_comes_back_with_the_same_numbers(project: Project, contexts: Path) -> None:
    """Issue 5: a run of the demo as RO-Crate validates; its exported YAML runs again with the same numbers."""
    done = project.run([demo_python(), str(DEMO / "demo.py"), "out"], timeout=110)
    assert done.code == 0, done
    lute = [demo_python(), "-m", "lute"]
    record = ["--db", str(project.folder / "out")]
    listed = project.run([*lute, "history", "-t", "MergingStatistics", "--json", "--limit", "1", *record])
    (run,) = listed.json
    place = ["export", run["id"], *record, "-o"]
    assert project.lute(*place, "crate", "--format", "crate").code == 0
    assert issues(project.folder / "crate", "process-run-crate", contexts) == []
    assert project.lute(*place, "again.yaml").code == 0
    search = {"PATH": f"{Path(demo_python()).parent}{os.pathsep}{os.environ['PATH']}"}  # as demo.py does
    again = project.run([*lute, "run", run["task"], "-c", "again.yaml", "-q", "--json"], env=search, timeout=110)
    assert again.code == 0, again
    assert again.json["metrics"] == run["metrics"]
    (first, second) = (folder / Path(str(run["payload"])).name for folder in (project.folder / "out", project.folder))
    assert json.loads(first.read_text()) == json.loads(second.read_text())


@pytest.mark.slow
@pytest.mark.skipif(not demo_python(), reason="needs cctbx-base: make demo, or DEMO_PYTHON")
def test_the_demo_is_verified_where_the_original_is_not(project: Project, tmp_path: Path) -> None:
    """R6: unpacked in a namespace without the demo, its data and its results, each step gives the same numbers."""
    done = project.run([demo_python(), str(DEMO / "demo.py"), "out"], timeout=110)
    assert done.code == 0, done
    [workflow] = project.lute("workflow", "list", "--json", "--db", "out").json
    done = project.lute("export", workflow["id"], "--format", "crate", "-o", "crate", "--db", "out")
    assert done.code == 0, done
    crate = Project(tmp_path / "far")
    shutil.copytree(project.folder / "crate", crate.folder)
    find = "import smtbx, os; print(os.path.dirname(smtbx.__file__) + '/regression')"
    data = project.run([demo_python(), "-c", find]).out.strip()
    hidden = "".join(f"mount -t tmpfs none {place}\n" for place in (project.folder / "out", DEMO, data))
    script = f'set -e\n{hidden}test -z "$(ls {DEMO})"\nexec "$@"\n'
    lute = ["unshare", "-rm", "sh", "-c", script, "sh", demo_python(), "-m", "lute"]
    search = {"PATH": f"{Path(demo_python()).parent}{os.pathsep}{os.environ['PATH']}"}
    runs = crate.run([*lute, "history", "--json", "--db", "lute.db"], env=search).json
    assert len(runs) == 7
    for run in runs:
        again = crate.run([*lute, "rerun", run["id"], "--verify", "-q", "--db", "lute.db"], env=search, timeout=110)
        assert (again.code, "gave the same as run" in again.out) == (0, True), again
