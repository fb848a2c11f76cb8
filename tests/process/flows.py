"""What the workflow tests share: a plug-in of small programs that leave traces, and the real `lute workflow`."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

from conftest import Outcome, Project
from process.helpers import start

WRITE = """
    #!/bin/bash
    echo "$3" >> ran.txt
    { cat "$2"; echo "$1"; } > "$3"
"""


def shell(code: str, **more: Any) -> str:
    """A step that runs a line in the shell, as YAML."""
    return json.dumps({"task": "Shell", "parameters": {"code": code}, **more})


class Flow:
    """A project with a workflow file.

    Args:
        project: The folder.
    """

    def __init__(self, project: Project) -> None:
        self.project, self.folder = project, project.folder
        self.drivers: list[subprocess.Popen[bytes]] = []
        project.plugin("traces")
        project.write("write.sh", WRITE).chmod(0o755)
        project.write("input.txt", "in\n")
        project.config("{}", "terminate_grace: 1\nclean_up_grace: 1")

    def steps(self, text: str, name: str = "flow.yaml", **more: str) -> None:
        """Writes a workflow file of the flat form."""
        lines = [f"{key}: {value}" for key, value in more.items()]
        import textwrap

        body = textwrap.indent(textwrap.dedent(text).strip("\n"), "  ")
        (self.folder / name).write_text("\n".join([*lines, "steps:", body, ""]), encoding="utf-8")

    def lute(self, action: str, *arguments: str, **keywords: Any) -> Outcome:
        """Runs `lute workflow ACTION`."""
        return self.project.lute("workflow", action, *arguments, "-c", "config.yaml", **keywords)

    def run(self, *arguments: str, file: str = "flow.yaml", code: int | None = 0, **keywords: Any) -> dict[str, Any]:
        """Runs the workflow with `--json`. Returns the object, with each step's state in `states`."""
        outcome = self.lute("run", *([file] if file else []), "--json", "-q", *arguments, **keywords)
        assert code is None or outcome.code == code, outcome
        found: dict[str, Any] = outcome.json
        states = {step["name"]: step["status"] for step in found["steps"]}
        return {**found, "states": states, "code": outcome.code, "stderr": outcome.err}

    def start(self, *arguments: str, **keywords: Any) -> subprocess.Popen[bytes]:
        """Starts `lute workflow run` and does not wait."""
        driver = start(self.project, "workflow", "run", *arguments, "-c", "config.yaml", **keywords)
        self.drivers.append(driver)
        return driver

    def close(self) -> None:
        """Ends the workflow runs that a test has left."""
        for driver in self.drivers:
            driver.kill()
            driver.communicate()

    def history(self, *arguments: str) -> list[dict[str, Any]]:
        """What `lute history --json` prints, oldest first; nothing before there is a record."""
        if not (self.folder / "lute.db").exists():
            return []
        outcome = self.project.lute("history", "-c", "config.yaml", "--json", *arguments)
        assert outcome.code == 0, outcome
        return list(reversed(outcome.json))

    def ran(self, name: str = "ran.txt") -> Counter[str]:
        """The lines that programs wrote into a file, counted."""
        file = self.folder / name
        return Counter(file.read_text().split()) if file.exists() else Counter()

    def text(self, name: str) -> str:
        """A file's text; nothing if it is not there."""
        file: Path = self.folder / name
        return file.read_text() if file.exists() else ""


def anew(row: dict[str, Any]) -> set[str]:
    """The steps that a workflow run did run, and did not take from an earlier one."""
    return {step["name"] for step in row["steps"] if step["id"] and not step["reused"]}


def dumped(value: Any) -> str:
    """A value as YAML."""
    return json.dumps(value)
