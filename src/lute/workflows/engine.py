"""What runs the steps of a workflow, as whoever started it sees it."""

from __future__ import annotations

from typing import Protocol


class Engine(Protocol):
    """Runs the steps of one workflow run: on this machine, as batch jobs, or in Airflow.

    What came of it is not returned here: it stands in the steps and in the workflow run's row.
    """

    def submit(self) -> None:
        """Begins: all that can be decided now is, and whoever runs the steps has them. Returns at once.

        Raises:
            LuteError: It cannot run as it is, or what is to run it refused it; then nothing runs.
        """

    def wait(self) -> None:
        """Waits until the workflow run has ended, however; once, after `submit`. Signals that ask for an end cancel it.

        Raises:
            LuteError: It is not known any more how it goes on. What was submitted may still run.
        """

    def cancel(self, by: str) -> None:
        """Asks for an end of all that runs; `wait` returns when that has come. A second time, it ends at once.

        It is called in the thread that waits: by what that calls between two looks, or by a signal's handler.

        Args:
            by: Who or what asks, for people.
        """
