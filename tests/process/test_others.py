"""What belongs to another user: who may not read or write it is told whose it is."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

import pytest

from conftest import Project
from lute.base.files import make_folder, whose
from lute.cli import main
from lute.errors import RecordError
from lute.record.store import Record

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


def as_nobody(project: Project, *argv: str) -> tuple[int, str]:
    """Runs a command as another user, with what this process has loaded. Returns exit code and standard error."""
    said = project.folder / "said"
    said.touch(0o666)
    said.chmod(0o666)
    child = os.fork()
    if child == 0:
        code = 99
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os.chdir(project.folder)
            descriptor = os.open(said, os.O_WRONLY | os.O_TRUNC)
            os.dup2(descriptor, 2)
            sys.stderr = os.fdopen(2, "w")
            code = main(argv)
            sys.stderr.flush()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said.read_text()


@pytest.fixture
def closed(project: Project) -> Project:
    """A project whose record its owner alone may read, in a folder that all may search."""
    project.plugin("traces")
    project.config()
    project.run_task("Shell")
    for folder in (project.folder, *project.folder.parents):
        if folder.stat().st_uid == os.geteuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    (project.folder / "lute.db").chmod(0o600)
    return project


@needs_root
def test_a_record_that_may_not_be_read(closed: Project) -> None:
    """The sentence names owner and mode, and what to do."""
    code, said = as_nobody(closed, "history", "--db", "lute.db")
    assert code == 2
    assert f"{closed.folder}/lute.db may not be read by you: it belongs to root, mode 0600" in said
    assert "--db PATH" in said


def test_whose_a_file_is(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "a").chmod(0o640)
    assert whose(tmp_path / "a").endswith(", mode 0640")
    assert whose(tmp_path / "a").startswith("it belongs to ")
    assert whose(tmp_path / "none" / "of it").startswith(f"{tmp_path} belongs to ")
    make_folder(tmp_path / "b" / "c")
    assert whose(tmp_path / "b" / "c").startswith("it ")


def test_an_unreadable_record_is_a_record_error(tmp_path: Path) -> None:
    """What is no file is told as before."""
    (tmp_path / "lute.db").mkdir()
    with pytest.raises(RecordError):
        Record(tmp_path / "lute.db").find()
