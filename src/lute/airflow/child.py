"""One `lute` command as a child: what it says goes into a log while it runs, what it prints is its result."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence

LOGGED = 10 << 20
"""So many bytes go into Airflow's log, whose lines pass through several processes; the run's own log has everything."""
LONGEST_LINE = 1 << 16
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class Child:
    """A `lute` command.

    Args:
        argv: The command line.
        env: Its whole environment.
        cwd: Its folder.
        log: Called with each line that it says on standard error.
    """

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], cwd: str, log: Callable[[str], None]) -> None:
        self._argv, self._env, self._cwd, self._log = list(argv), dict(env), cwd, log
        self._process: subprocess.Popen[bytes] | None = None

    def run(self) -> tuple[int, str]:
        """Runs it to its end. Returns its exit code, negative for a signal, and what it printed.

        If it is left by an exception, as by Airflow's own timeout, the command is stopped first.

        Raises:
            OSError: It cannot be started.
        """
        parent = os.getpid()

        def end_with_parent() -> None:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:
                os.kill(os.getpid(), signal.SIGTERM)

        with tempfile.TemporaryFile() as printed:
            self._process = subprocess.Popen(
                self._argv,
                env=self._env,
                cwd=self._cwd,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.PIPE,
                start_new_session=True,  # Airflow may signal the group that it is in itself
                preexec_fn=end_with_parent,
            )
            try:
                self._copy()
            except BaseException:
                self.stop()
                self._copy()
                raise
            finally:
                code = self._process.wait()
                assert self._process.stderr is not None
                self._process.stderr.close()
            printed.seek(0)
            return code, printed.read().decode("utf-8", "replace")

    def stop(self) -> None:
        """Asks it to end: `lute` stops what it runs, and says how that ended. Safe in a signal handler."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def _copy(self) -> None:
        """Hands on what it says, line by line, until nobody can say any more."""
        assert self._process is not None
        assert self._process.stderr is not None
        left = LOGGED
        for piece in iter(lambda: self._process.stderr.readline(LONGEST_LINE), b""):  # type: ignore[union-attr]
            if left <= 0:
                continue
            left -= len(piece)
            self._log(piece.decode("utf-8", "backslashreplace").rstrip())
            if left <= 0:
                self._log(f"... after {LOGGED >> 20} MiB no more is copied: the run's own log has all of it")
