"""A workflow on Slurm, on a private Slurm of the machine's own packages."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lutebench.bench import Bench, Project
from lutebench.costs import Cost
from lutebench.lines import SECONDS, Goal, Line, both
from lutebench.rows import TOO_LONG, Missing, row

STEPS = 60
TESTS = Path(__file__).parents[3] / "tests"
"""Where the Slurm of the tests is."""
PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch")
GOAL = Goal("at most", 1.2)
WHAT = f"a workflow of {STEPS} one-line steps on Slurm"
BY_HAND = f"""
for i in $(seq {STEPS}); do sbatch -Q --wrap true -o /dev/null; done
while [ -n "$(squeue -h)" ]; do sleep 0.05; done
"""
FLOOR = f"{STEPS} `sbatch` by hand, until the last job has ended"


def _cluster() -> Any:
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    missing = [name for name in PROGRAMS if not shutil.which(name, path=path)]
    if missing:
        raise Missing(f"{', '.join(missing)} not installed: apt-get install slurm-wlm munge")
    sys.path.append(str(TESTS))
    from cluster.slurm import Slurm

    return Slurm(nodes=4, cpus=2)


def _workflow(bench: Bench) -> Project:
    project = bench.project("noop", {"Noop": {"number": 2}})
    steps = {f"step{number}": {"task": "Noop"} for number in range(STEPS)}
    (project.folder / "workflow.yaml").write_text(json.dumps({"steps": steps}))
    return project


@row("workflow.slurm")
def slurm(bench: Bench) -> Iterator[Line]:
    """A workflow of 60 one-line steps on Slurm, against 60 `sbatch` by hand."""
    if bench.short:
        yield Line("all", WHAT, FLOOR, SECONDS, goal=GOAL, reason=TOO_LONG)
        return
    cluster = _cluster()
    try:
        cluster.start()
        bench.env |= cluster.environment
        yield from _lines(bench, cluster.empty)
    finally:
        for name in cluster.environment:
            bench.env.pop(name, None)
        cluster.close()


def _lines(bench: Bench, empty: Callable[[], None]) -> Iterator[Line]:
    project = _workflow(bench)

    def by_hand() -> Cost:
        return bench.spawner.cost(["/bin/sh", "-c", BY_HAND], cwd=bench.folder, env=bench.env)

    def by_lute(*options: str) -> Cost:
        cost = project.cost("workflow", "run", "workflow.yaml", "-c", "bench.yaml", "--fresh", "-q", *options)
        empty()
        return cost

    each, packed = lambda: by_lute("--on", "slurm"), lambda: by_lute("--on", "slurm", "--pack")
    hand, ours, in_one = bench.interleaved(2, by_hand, each, packed, warm=False)
    yield Line("all", f"{WHAT}: a job each", FLOOR, SECONDS, *both(hand, ours, _wall), goal=GOAL)
    yield Line("packed", f"{WHAT}: in one job (--pack)", FLOOR, SECONDS, *both(hand, in_one, _wall), goal=GOAL)


def _wall(cost: Cost) -> float:
    return cost.wall_s
