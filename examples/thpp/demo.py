"""Runs the thpp example with real programs on real data, and ends with a table of what came out.

`python demo.py [WORK_DIR]` puts the record, logs and pages into WORK_DIR, `./demo-output` if not given.
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
MANAGED_TASKS = ("StatisticsCalculator", "Refiner", "ModelComparer")
COLUMNS = ("Task", "status", "seconds", "result")


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


def run(name: str, work_dir: Path, env: dict[str, str]) -> dict[str, Any]:
    """Runs one managed Task with the command `lute run`, and returns what its `--json` says.

    Raises:
        SystemExit: It did not complete; with the exit code of `lute`.
    """
    command = ["lute", "run", name, "-c", str(HERE / "thpp.yaml"), "-p", str(HERE / "thpp.py"), "--json"]
    done = subprocess.run(command, cwd=work_dir, env=env, stdout=subprocess.PIPE, encoding="utf-8")
    try:
        told = json.loads(done.stdout)
    except ValueError:
        told = {"error": f"lute gave no JSON but: {done.stdout!r}"}
    if done.returncode != 0 or told.get("status") != "COMPLETED":
        print(failure(name, told), file=sys.stderr)
        sys.exit(done.returncode or 1)
    return told


def failure(name: str, told: dict[str, Any]) -> str:
    """Returns what to tell of a Task that did not complete."""
    if "error" in told:
        return f"{name} was not started: {told['error']}"
    return f"{name} {told.get('status')}: {told.get('reason')}\nIts log: {told.get('log')}"


def row(told: dict[str, Any]) -> tuple[str, ...]:
    """Returns a run's line of the table: its summary, or the name of the file it made."""
    result = str(told["summary"] or "").replace(";", ", ").replace(": ", " ")
    if not result and isinstance(told["payload"], str):
        result = Path(told["payload"]).name
    return told["task"], told["status"], f"{told['wall_s']:.1f}", result


def table(rows: list[tuple[str, ...]]) -> str:
    """Returns rows as text in columns.

    >>> print(table([("Task", "s"), ("Refine", "1.5")]))
    Task    s
    Refine  1.5
    """
    widths = [max(len(line[column]) for line in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) for line in rows]
    return "\n".join(line.rstrip() for line in lines)


def main() -> None:
    """Runs the three managed Tasks one after another and prints the table."""
    parser = argparse.ArgumentParser(description="Run the thpp example: real programs on real data.")
    parser.add_argument("work_dir", nargs="?", type=Path, default=Path("demo-output"), metavar="WORK_DIR")
    work_dir = parser.parse_args().work_dir.resolve()
    env = environment(data_folder())
    work_dir.mkdir(parents=True, exist_ok=True)
    runs = [run(name, work_dir, env) for name in MANAGED_TASKS]
    print(table([COLUMNS, *map(row, runs)]))
    print(f"\nrecord  {work_dir / 'lute.db'}")
    for page in (page for told in runs for page in told["plots"]):
        print(f"page    {Path(page).as_uri()}")


if __name__ == "__main__":
    main()
