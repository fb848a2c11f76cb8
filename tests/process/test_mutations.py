"""One thing changes, and exactly what depends on it runs again (SPEC C1, C2): everything that can matter, one by one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest

from conftest import PLUGINS, Project
from lute.record.store import Record

Change = Callable[[Project], object]
ALL = {"find", "split", "configured", "alone", "join"}
FIND = {"find", "split", "join"}
SPLIT = {"split", "join"}
CONFIGURED = {"configured", "alone", "join"}
ALONE = {"alone", "join"}
JOIN = {"join"}
NONE: set[str] = set()


def edit(name: str, before: str, after: str) -> Change:
    """Replaces a part of a file."""

    def change(project: Project) -> None:
        path = project.folder / name
        text = path.read_text()
        assert before in text, name
        path.write_text(text.replace(before, after))

    return change


def add(name: str, text: str) -> Change:
    """Adds to a file, or writes a new one."""

    def change(project: Project) -> None:
        with (project.folder / name).open("a") as file:
            file.write(text)

    return change


def touch(name: str) -> Change:
    """Changes nothing but a file's time."""
    return lambda project: os.utime(project.folder / name)


def delete(name: str) -> Change:
    """Deletes a file."""
    return lambda project: (project.folder / name).unlink()


def rewrite(name: str) -> Change:
    """Puts a file with the same text in a file's place."""

    def change(project: Project) -> None:
        path = project.folder / name
        other = path.with_name("other.tmp")
        other.write_bytes(path.read_bytes())
        shutil.copymode(path, other)
        other.replace(path)

    return change


def variable(name: str, value: str) -> Change:
    """Sets a variable of the environment."""
    return lambda project: project.env.update({name: value})


def invalidate(task: str) -> Change:
    """Makes the last run of a Task invalid."""

    def change(project: Project) -> None:
        with Record(project.folder / "lute.db") as record:
            [row] = record.find(task=task, limit=1, valid=True)
            record.set_valid(row["id"], False)

    return change


MUTATIONS: list[tuple[str, Change, set[str]]] = [
    # inputs
    ("a byte in a file of the input folder", edit("frames/a.txt", "1", "5"), FIND),
    ("a file more in the input folder", add("frames/c.txt", "3\n"), FIND),
    ("a file less in the input folder", delete("frames/b.txt"), FIND),
    ("a file of the input folder gets another name", lambda p: (p.folder / "frames/c.txt").rename(p.folder / "frames/d.txt"), FIND),
    ("a byte in an input", edit("alone.txt", "text", "tExt"), ALONE),
    ("an input grows", add("alone.txt", "more\n"), ALONE),
    ("a file that nobody reads", add("note.txt", "more\n"), NONE),
    # code
    ("a helper's constant", edit("find_helper.py", "FACTOR = 2", "FACTOR = 3"), FIND),
    ("a helper that is imported late", edit("find_lazy.py", "OFFSET = 1", "OFFSET = 9"), FIND),
    ("a package", edit("pack/__init__.py", "UNUSED = 1", "UNUSED = 2"), FIND),
    ("a package's module", add("pack/inner.py", "# changed\n"), FIND),
    ("what a package's module imports", edit("pack/deep.py", "VALUE = 7", "VALUE = 8"), FIND),
    ("a package's module that nobody imports", edit("pack/other.py", "UNUSED = 1", "UNUSED = 2"), NONE),
    ("a helper is touched", touch("find_helper.py"), NONE),
    ("a helper is written again with the same text", rewrite("find_helper.py"), NONE),
    ("the file of one Task", add("find_task.py", "# changed\n"), FIND),
    ("the file of the others", add("tasks.py", "# changed\n"), {"split", "configured", "alone", "join"}),
    ("a Task's own module", add("alone.py", "# changed\n"), ALONE),
    ("the helper of a Task's own module", edit("alone_helper.py", '"x"', '"y"'), ALONE),
    ("another plug-in", add("other.py", "# changed\n"), NONE),
    ("another plug-in's helper", edit("other_helper.py", "NOTHING = 0", "NOTHING = 1"), NONE),
    ("a new file beside the plug-ins", add("new_helper.py", "NEW = 1\n"), NONE),
    # programs, templates, environment
    ("a program", add("split.sh", "# changed\n"), SPLIT),
    ("the program of a step that another needs", add("copy.sh", "# changed\n"), CONFIGURED),
    ("the last program", add("join.sh", "# changed\n"), JOIN),
    ("a template", add("templates/config.j2", "more\n"), CONFIGURED),
    ("another template", add("templates/other.j2", "changed\n"), NONE),
    ("an environment value that a parameter takes", variable("GAIN", "2.5"), FIND),
    ("another environment value", variable("UNRELATED", "2.5"), NONE),
    ("a change to a step's environment", edit("tasks.py", '"GREETING": "hello"', '"GREETING": "good day"'), {"split", "configured", "alone", "join"}),
    # parameters
    ("a parameter", edit("config.yaml", "Find: {", "Find: {lazily: other, "), FIND),
    ("a parameter of the workflow", edit("flow.yaml", '"hello"', '"bye"'), CONFIGURED),
    ("a comment in the YAML file", add("config.yaml", "# a comment\n"), NONE),
    ("a comment in the workflow", add("flow.yaml", "# a comment\n"), NONE),
    ("the title", edit("config.yaml", "A title", "Another title"), NONE),
    ("a time limit", edit("config.yaml", "run: 1", "run: 1\ntask_timeout: 500"), NONE),
    ("the run", edit("config.yaml", "run: 1", "run: 2"), ALL),
    ("the experiment", edit("config.yaml", "experiment: mutated", "experiment: other"), ALL),
    # outputs
    ("the first output is touched", touch("out/found.txt"), FIND),
    ("the first output is deleted", delete("out/found.txt"), FIND),
    ("the first output is replaced", rewrite("out/found.txt"), FIND),
    ("one file of a pattern is changed", add("out/part-2.txt", "more\n"), SPLIT),
    ("one file of a pattern is deleted", delete("out/part-1.txt"), SPLIT),
    ("a file is added that fits the pattern", add("out/part-3.txt", "by hand\n"), NONE),
    ("an output that no other step takes", touch("out/alone.txt"), {"alone"}),
    ("an output of a step that another only needs", delete("out/configured.txt"), {"configured"}),
    ("the last output is deleted", delete("out/joined.txt"), JOIN),
    ("the first run is invalid", invalidate("Find"), FIND),
    ("the last run is invalid", invalidate("Join"), JOIN),
]  # fmt: skip


def anew(project: Project) -> set[str]:
    """Runs the workflow. Returns the steps that ran, and were not taken as they were."""
    done = project.lute("workflow", "run", "flow.yaml", "-c", "config.yaml", "--json", "-q")
    assert done.code == 0, done
    return {step["step"] for step in done.json["steps"] if not step["reused"]}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_exactly_what_depends_on_a_change_runs_again(project: Project) -> None:
    """C1, C2: after each of about fifty changes, what depends on it runs, and with nothing changed nothing does."""
    shutil.copytree(PLUGINS / "mutated", project.folder, dirs_exist_ok=True)
    assert anew(project) == ALL
    wrong = {}
    for what, change, expected in MUTATIONS:
        change(project)
        ran = anew(project)
        if ran != expected:
            wrong[what] = (sorted(ran), sorted(expected))
        again = anew(project)
        if again:
            wrong[f"nothing, after: {what}"] = (sorted(again), [])
    assert not wrong, "\n".join(f"{what}: {ran}, expected {expected}" for what, (ran, expected) in wrong.items())
