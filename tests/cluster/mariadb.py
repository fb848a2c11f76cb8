"""A private MariaDB on the loopback for Slurm's accounting, from the machine's own package `mariadb-server`."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from process.helpers import wait_until


class MariaDB:
    """One server with a user and a database for slurmdbd; run by the system's user `mysql` where the tests are root's."""

    def __init__(self) -> None:
        assert shutil.which("mariadbd", path="/usr/sbin:/usr/bin"), (
            "there is no MariaDB: apt-get install mariadb-server"
        )
        self.folder = Path(tempfile.mkdtemp(prefix="lmaria-"))
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._user = "mysql" if os.geteuid() == 0 else Path.home().owner()
        if os.geteuid() == 0:
            shutil.chown(self.folder, "mysql", "mysql")

    def start(self) -> None:
        """Makes the data folder, starts the server and makes slurmdbd's user."""
        fixed = ["--no-defaults", f"--user={self._user}", f"--datadir={self.folder}/data"]
        made = subprocess.run(
            ["mariadb-install-db", *fixed, "--auth-root-authentication-method=normal", "--skip-test-db"],
            capture_output=True,
            timeout=100,
            check=False,
        )
        assert made.returncode == 0, made
        sizes = ["--innodb-buffer-pool-size=64M", "--innodb-log-file-size=32M", "--innodb-lock-wait-timeout=900"]
        place = [f"--socket={self.folder}/s", "--bind-address=127.0.0.1", f"--port={self.port}"]
        with open(self.folder / "log", "wb") as log:
            argv = ["/usr/sbin/mariadbd", *fixed, *place, *sizes, f"--pid-file={self.folder}/pid"]
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(lambda: self._does("select 1"), "MariaDB answers", 60)
        for host in ("127.0.0.1", "localhost"):
            assert self._does(f"create user if not exists 'slurm'@'{host}' identified by 'slurm'")
            assert self._does(f"grant all on slurm_acct.* to 'slurm'@'{host}'")

    def _does(self, statement: str) -> bool:
        argv = ["mariadb", "--no-defaults", f"--socket={self.folder}/s", "-u", "root", "-e", statement]
        return subprocess.run(argv, capture_output=True, timeout=30, check=False).returncode == 0

    def close(self) -> None:
        """Ends it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
        shutil.rmtree(self.folder, ignore_errors=True)
