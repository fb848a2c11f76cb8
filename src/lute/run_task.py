"""`python -m lute.run_task -t NAME -c FILE`: kept for scripts that have it; the same as `lute run NAME -c FILE`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from lute.cli import main as lute_main

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one managed Task. Returns the exit code of `lute run`.

    Args:
        argv: The arguments; what is not `-t` or `-c` goes to `lute run`.
    """
    parser = argparse.ArgumentParser(prog="python -m lute.run_task", description=__doc__, allow_abbrev=False)
    parser.add_argument("-t", "--taskname", required=True, help="managed Task or Task to run")
    parser.add_argument("-c", "--config", required=True, help="YAML file")
    options, rest = parser.parse_known_args(argv)
    return lute_main(["run", options.taskname, "-c", options.config, *rest])


if __name__ == "__main__":
    sys.exit(main())
