"""`python -m lute` is the command `lute`."""

from lute.cli import command

if __name__ == "__main__":
    command()
