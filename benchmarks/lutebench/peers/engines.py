"""A workflow of N programs that do nothing, by another engine: python -m lutebench.peers.engines NAME N FOLDER.

One at a time, without dependencies. Prints the seconds of the whole, from a new interpreter on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

DOIT = """
def task_step():
    for number in range({count}):
        yield {{"name": str(number), "actions": [["true"]]}}
"""
LUIGI = """
import subprocess, luigi

class Step(luigi.Task):
    number = luigi.IntParameter()
    done = False
    def run(self):
        subprocess.run(["true"], check=True)
        self.done = True
    def complete(self):
        return self.done

luigi.build([Step(number) for number in range({count})], local_scheduler=True, workers=1, log_level="WARNING")
"""
PARSL = """
import parsl
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider

workers = HighThroughputExecutor(
    label="one", max_workers_per_node=1, address="127.0.0.1", provider=LocalProvider(init_blocks=1, max_blocks=1))

@parsl.bash_app
def step(number):
    return "true"

with parsl.load(Config(executors=[workers], usage_tracking=0)):
    for one in [step(number) for number in range({count})]:
        one.result()
"""
SNAKEMAKE = """
rule all:
    input: expand("{{number}}.done", number=range({count}))
rule step:
    output: touch("{{number}}.done")
    shell: "true"
"""


def doit(folder: Path, count: int) -> list[str]:
    """Writes a dodo file."""
    (folder / "dodo.py").write_text(DOIT.format(count=count))
    return [sys.executable, "-m", "doit", "-f", "dodo.py", "-v", "0"]


def luigi(folder: Path, count: int) -> list[str]:
    """Writes a script for luigi."""
    (folder / "steps.py").write_text(LUIGI.format(count=count))
    return [sys.executable, "steps.py"]


def parsl(folder: Path, count: int) -> list[str]:
    """Writes a script for parsl."""
    (folder / "steps.py").write_text(PARSL.format(count=count))
    return [sys.executable, "steps.py"]


def snakemake(folder: Path, count: int) -> list[str]:
    """Writes a Snakefile."""
    (folder / "Snakefile").write_text(SNAKEMAKE.format(count=count))
    return [sys.executable, "-m", "snakemake", "--cores", "1", "--quiet"]


ENGINES: dict[str, Callable[[Path, int], list[str]]] = {
    "doit": doit,
    "luigi": luigi,
    "parsl": parsl,
    "snakemake": snakemake,
}


def main(name: str, count: int, folder: Path) -> None:
    """Runs one workflow in an empty folder."""
    argv = ENGINES[name](folder, count)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    begun = time.monotonic()
    done = subprocess.run(argv, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{done.stdout[-1000:]}\n{done.stderr[-1000:]}")
    print(json.dumps(time.monotonic() - begun))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
