"""Rights and places of files: what is written follows the folder it is in."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path
from typing import BinaryIO, Iterator, Optional

NETWORK_FILE_SYSTEMS = ("nfs", "lustre", "gpfs", "cifs", "smb", "beegfs", "ceph", "glusterfs", "sshfs", "afs", "9p")


def shared_mode(folder: Path, mode: int) -> int:
    """Returns `mode` with the group bits that `folder` has: an experiment is shared, others get nothing."""
    group = (folder.stat().st_mode & stat.S_IRWXG) & (mode >> 3)
    return (mode & ~0o077) | group


def whose(path: str | os.PathLike[str]) -> str:
    """Returns whose a file or folder is and its mode, for messages; of what cannot be seen, those of its folder."""
    import pwd  # for messages alone

    place = Path(path)
    while True:
        try:
            about = place.stat()
            break
        except OSError:  # it is not there, or in a folder that may not be searched
            place = place.parent
    try:
        owner = pwd.getpwuid(about.st_uid).pw_name
    except KeyError:
        owner = f"user {about.st_uid}"
    what = "it" if place == Path(path) else str(place)
    return f"{what} belongs to {owner}, mode {stat.S_IMODE(about.st_mode):04o}"


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it, each with the group bits of the one it is made in."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except FileNotFoundError:
        make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
    setgid = folder.stat().st_mode & stat.S_ISGID
    folder.chmod(shared_mode(folder.parent, 0o700) | setgid)


def create_file(path: Path) -> None:
    """Creates an empty file with the rights of its folder, if it is not there."""
    if path.exists():
        return
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return
    os.fchmod(descriptor, shared_mode(path.parent, 0o600))
    os.close(descriptor)


@contextlib.contextmanager
def written_aside(path: Path, mode: Optional[int] = None) -> Iterator[BinaryIO]:
    """Yields a file that takes the place of `path` when it has been written: that is there whole or not at all.

    Args:
        path: The file.
        mode: Its rights; as the process's umask says if not given.

    Raises:
        OSError: It cannot be written.
    """
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        made = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else 0o600)
        with open(made, "wb") as file:
            if mode is not None:
                os.fchmod(made, mode)
            yield file
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file so that it is there whole or not at all, with the rights of its folder."""
    with written_aside(path, shared_mode(path.parent, 0o600)) as file:
        file.write(data)


def on_network(path: Path) -> bool:
    """Returns whether a path is on a network file system, by `/proc/mounts`."""
    target, best, kind = str(path), "", ""
    try:
        mounts = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return False
    for line in mounts:
        _, point, system, *_ = line.split()
        point = point.replace("\\040", " ")
        if (target == point or target.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
            best, kind = point, system
    return any(name in kind for name in NETWORK_FILE_SYSTEMS)
