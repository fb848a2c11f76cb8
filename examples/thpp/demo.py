"""Runs the thpp workflow with real programs on real data, and ends with a table of what came out.

`python demo.py [WORK_DIR] [OPTIONS]` puts the record, logs and pages into WORK_DIR, `./demo-output` if not given.
OPTIONS go to `lute workflow run`: `--dry-run`, `--fresh`, `-s CompareModel.sigma_cutoff=3`.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
COLUMNS = ("Step", "Task", "status", "seconds", "result")


def data_folder() -> Path:
    """Returns the folder of cctbx-base that holds thpp.hkl and thpp.ins, without importing cctbx.

    Raises:
        SystemExit: The package or the data is not there.
    """
    package = importlib.util.find_spec("smtbx")
    if package is None or package.origin is None:
        sys.exit("The demo needs the package cctbx-base: pip install 'lute-executor[demo]'")
    folder = Path(package.origin).parent / "regression" / "test_data"
    missing = [name for name in ("thpp.hkl", "thpp.ins") if not (folder / name).is_file()]
    if missing:
        sys.exit(f"This version of cctbx-base ships no {' and '.join(missing)} in {folder}.")
    return folder


def environment(data: Path) -> dict[str, str]:
    """Returns the environment for `lute`: the programs beside this Python come first on PATH.

    The caller's own `LUTE_...` settings are left out; they could move the record or change a parameter.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LUTE_")}
    programs = Path(sys.executable).parent
    return {**kept, "PATH": f"{programs}{os.pathsep}{kept.get('PATH', os.defpath)}", "THPP_DATA": str(data)}


def lute(arguments: list[str], work_dir: Path, env: dict[str, str]) -> Any:
    """Runs `lute ... -c thpp.yaml --json`, and returns what it says.

    Raises:
        SystemExit: It did not end well; with its exit code. It has said why.
    """
    command = ["lute", *arguments, "-c", str(HERE / "thpp.yaml"), "--json"]
    done = subprocess.run(command, cwd=work_dir, env=env, stdout=subprocess.PIPE, encoding="utf-8")
    if done.returncode != 0:
        sys.exit(done.returncode)
    return json.loads(done.stdout)


def row(step: dict[str, Any], run: dict[str, Any]) -> tuple[str, ...]:
    """Returns a step's line of the table: the summary of its run, or the name of the file it made."""
    result = str(run["summary"] or "").replace(";", ", ").replace(": ", " ")
    if not result and isinstance(run["payload"], str):
        result = Path(run["payload"]).name
    status = "reused" if step["reused"] else step["status"]
    return step["name"], run["task"], status, f"{run['wall_s']:.1f}", result


def table(rows: list[tuple[str, ...]]) -> str:
    """Returns rows as text in columns.

    >>> print(table([("Task", "s"), ("Refine", "1.5")]))
    Task    s
    Refine  1.5
    """
    widths = [max(len(line[column]) for line in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) for line in rows]
    return "\n".join(line.rstrip() for line in lines)


def tell(ran: dict[str, Any], runs: dict[str, dict[str, Any]], work_dir: Path) -> None:
    """Prints the table of a workflow run, what was not run again and why, and where everything is."""
    steps = ran["steps"]
    print(table([COLUMNS, *(row(step, runs[step["id"]]) for step in steps)]))
    reused = [step["name"] for step in steps if step["reused"]]
    if reused:
        print(f"\nNot run again, since nothing that they depend on has changed: {', '.join(reused)}")
    print(f"\nrecord  {work_dir / 'lute.db'}")
    for page in (page for step in steps for page in runs[step["id"]]["plots"]):
        print(f"page    {Path(page).as_uri()}")
    if ran.get("report"):
        print(f"report  {Path(ran['report']).as_uri()}")


def main() -> None:
    """Runs the workflow and prints the table."""
    parser = argparse.ArgumentParser(description="Run the thpp example: real programs on real data.")
    parser.add_argument("work_dir", nargs="?", type=Path, default=Path("demo-output"), metavar="WORK_DIR")
    options, others = parser.parse_known_args()
    work_dir = options.work_dir.resolve()
    env = environment(data_folder())
    work_dir.mkdir(parents=True, exist_ok=True)
    ran = lute(["workflow", "run", str(HERE / "workflow.yaml"), *others], work_dir, env)
    if "steps" not in ran:  # of --dry-run
        print(json.dumps(ran, indent=2))
        return
    tell(ran, {run["id"]: run for run in lute(["history"], work_dir, env)}, work_dir)


if __name__ == "__main__":
    main()
