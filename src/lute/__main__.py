"""`python -m lute` is the command `lute`."""

import sys

from lute.cli import main

if __name__ == "__main__":
    sys.exit(main())
