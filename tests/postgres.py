"""A private PostgreSQL server for the tests, from the machine's own package (Debian's `postgresql`)."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from pathlib import Path
from typing import Any

import psycopg

from process.helpers import wait_until

PASSWORD = "s%t/r@nge:9?"
"""Of the server's user. It must not be seen anywhere."""
QUOTED = "s%25t%2Fr%40nge%3A9%3F"
_QUICK = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "shared_buffers": "32MB"}


class Server:
    """One server on the loopback, run by the system's user `postgres` where the tests are root's."""

    def __init__(self) -> None:
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
        assert programs, "there is no PostgreSQL server to test with: apt-get install postgresql"
        self._programs = programs[-1]
        self.folder = Path(tempfile.mkdtemp(prefix="lute-postgres-"))
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        password = self.folder / "password"
        password.write_text(PASSWORD)
        initdb = ["-D", self.data, "-U", "lute", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "-A", "scram-sha-256"]
        done = self._as_user("initdb", *initdb, f"--pwfile={password}", stdout=subprocess.DEVNULL)
        assert done.wait(60) == 0

    @property
    def data(self) -> str:
        """The folder of its data."""
        return str(self.folder / "data")

    def _as_user(self, program: str, *arguments: str, **keywords: Any) -> subprocess.Popen[bytes]:
        user = ["--reuid=postgres", "--regid=postgres", "--init-groups"] if os.geteuid() == 0 else []
        command = ["setpriv", "--pdeathsig=QUIT", *user, str(self._programs / program), *arguments]
        return subprocess.Popen(command, cwd="/", **keywords)

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        settings = {**_QUICK, "listen_addresses": "127.0.0.1", "unix_socket_directories": str(self.folder)}
        options = [item for name, value in settings.items() for item in ("-c", f"{name}={value}")]
        with open(self.folder / "log", "ab") as log:
            arguments = ["-D", self.data, "-p", str(self.port), *options]
            self._process = self._as_user("postgres", *arguments, stdout=log, stderr=log)
        wait_until(self._answers, f"PostgreSQL answers; see {self.folder}/log")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()
        with contextlib.suppress(psycopg.OperationalError):
            self.execute("SELECT 1")
            return True
        return False

    def kill(self) -> None:
        """Ends it at once, as `pg_ctl stop -m immediate` does."""
        self._end(signal.SIGQUIT)

    def close(self) -> None:
        """Ends it, and removes its data."""
        self._end(signal.SIGINT)
        shutil.rmtree(self.folder)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(30)
            self._process = None

    def url(self, database: str, password: str = f":{QUOTED}") -> str:
        """The URL of a database."""
        return f"postgresql://lute{password}@127.0.0.1:{self.port}/{database}"

    def execute(self, query: str, *values: Any, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Runs one statement with nothing but psycopg."""
        with psycopg.connect(self.url(database), autocommit=True, connect_timeout=10) as connection:
            cursor = connection.execute(query, values or None)
            return cursor.fetchall() if cursor.description else []

    def new_database(self) -> str:
        """Makes an empty database. Returns its URL."""
        name = f"lute_{uuid.uuid4().hex[:12]}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)
