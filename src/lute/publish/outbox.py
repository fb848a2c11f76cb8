"""Posts to the eLog that were not taken yet: a folder of files, `<work_dir>/lute.outbox`.

A post is written before it is tried and deleted when it was taken, so that a kill loses nothing. Posts of a kind
make a lane: they are delivered in order, and one that has to wait holds up those behind it. One process delivers at
a time. What the eLog will never take goes to `refused/`, with the reason.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lute.base.files import create_file, make_folder, write_whole
from lute.errors import ElogError

if TYPE_CHECKING:
    from lute.record.types import PostAbout

    pass

__all__ = ["Outbox", "Post"]

logger = logging.getLogger(__name__)

FOLDER = "lute.outbox"
LOOK = 0.01
"""Time between two tries to be the one that delivers, in s."""
LONGEST_BACK_OFF = 300.0
"""Longest time between two tries of a lane, in s."""
LONGEST_RETRY_AFTER = 3600.0
"""Longest time that an eLog's own wish to be left alone is believed, in s."""
_NAME = re.compile(r"\d{8}T\d{6}\.\d{6}Z-(?P<kind>[a-z_]+)-[0-9a-f]{16}")
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@dataclass(frozen=True)
class Attachment:
    """A file that goes with a message.

    Attributes:
        name: How the eLog calls it.
        type: Its media type.
        data: Its contents, in base64.
    """

    name: str
    type: str
    data: str


@dataclass(frozen=True)
class Post:
    """One post. It holds no secret: who delivers it logs in.

    Attributes:
        kind: What it is, such as `message`.
        address: Where it goes: a path below the eLog's address, or a whole URL.
        experiment: Which experiment it belongs to.
        query: What follows `?` in the address.
        body: What is sent as JSON, or None.
        form: What is sent as the fields of a form.
        files: What is attached to the form.
        created: When it was made, in s since the epoch.
        key: What tells it from every other; it is the same each time that it is tried.
    """

    kind: str
    address: str
    experiment: str = ""
    query: dict[str, str] = field(default_factory=dict)
    body: Any = None
    form: dict[str, str] = field(default_factory=dict)
    files: tuple[Attachment, ...] = ()
    created: float = field(default_factory=time.time)
    key: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def name(self) -> str:
        """The name of its file, without the ending: by time, then kind and key."""
        whole = int(self.created)
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(whole))
        return f"{stamp}.{int((self.created - whole) * 1e6):06d}Z-{self.kind}-{self.key}"

    @property
    def lane(self) -> str:
        """What it keeps its order with: posts of its kind, and where each has an address of its own, to the same."""
        return f"{self.kind} {self.address}" if "://" in self.address else self.kind

    @classmethod
    def from_json(cls, text: str | bytes) -> Post:
        """Reads a post.

        Raises:
            ValueError: It is none.
        """
        try:
            content = {name: value for name, value in json.loads(text).items() if not name.startswith("refused")}
            content["files"] = tuple(Attachment(**item) for item in content.get("files", ()))
            return cls(**content)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"this is no post: {error}") from error


@dataclass
class Trouble:
    """Why a lane waits.

    Attributes:
        tries: How often its first post was tried.
        not_before: When it is tried again, in s since the epoch.
        why: What happened the last time.
    """

    tries: int = 0
    not_before: float = 0.0
    why: str = ""

    def again(self, error: ElogError) -> Trouble:
        """Returns the trouble after one more try: the first is repeated at the next chance, later ones wait."""
        tries = self.tries + 1
        pause = min(2.0 ** (tries - 1), LONGEST_BACK_OFF) if tries > 1 else 0.0
        if error.retry_after is not None:
            pause = min(error.retry_after, LONGEST_RETRY_AFTER)
        return Trouble(tries, time.time() + pause, str(error))


Send = Callable[[Post, float], None]
"""Sends one post within a time in s; raises `ElogError` if it was not taken."""


class Outbox:
    """The posts of one work folder that were not taken yet. Constructing opens nothing.

    Args:
        work_dir: The work folder; the outbox is made in it when there is something to keep.
    """

    def __init__(self, work_dir: str | os.PathLike[str]) -> None:
        self.folder = Path(work_dir).absolute() / FOLDER
        self.refused_folder = self.folder / "refused"

    # ------------------------------------------------------------------------------------- keeping

    def keep(self, post: Post) -> None:
        """Writes a post.

        Raises:
            OSError: There is no such work folder, or it cannot be written.
        """
        if not self.folder.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, "there is no such folder", str(self.folder.parent))
        make_folder(self.folder)
        write_whole(self._file(post.name), json.dumps(asdict(post)).encode())

    def take_back(self) -> int:
        """Puts what was refused among what waits, to be tried again. Returns how many there were."""
        names = _names_in(self.refused_folder)
        for name in names:
            self._refused_file(name).replace(self._file(name))
        return len(names)

    # ------------------------------------------------------------------------------------- looking

    def names(self) -> list[str]:
        """Returns the names of the posts that wait, oldest first."""
        return _names_in(self.folder)

    def why_left(self, name: str) -> str | None:
        """Returns why a post still waits; None if it does not."""
        if not self._file(name).exists():
            return None
        trouble = self._troubles().get(self._lane(name))
        if trouble is None:
            return "eLog: it was not tried yet"
        later = trouble.not_before - time.time()
        return trouble.why + (f" (the next try is in {later:.0f} s)" if later > 0.5 else "")

    def why_refused(self, name: str) -> str | None:
        """Returns why a post was refused; None if it was not."""
        try:
            return str(json.loads(self._refused_file(name).read_bytes())["refused"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            return "this is no post"

    def waiting(self) -> list[PostAbout]:
        """Returns what waits, oldest first, as JSON's own types."""
        troubles, found = self._troubles(), []
        for name in self.names():
            trouble = troubles.pop(self._lane(name), None)  # the first of a lane has it, the others wait for that one
            told = trouble or Trouble(why="not tried yet")
            about = self._about(self._file(name))
            about |= {"tries": told.tries, "not_before": told.not_before, "why": told.why}
            found.append(about)
        return found

    def refused(self) -> list[PostAbout]:
        """Returns what was refused, oldest first, as JSON's own types."""
        found = []
        for name in _names_in(self.refused_folder):
            about = self._about(self._refused_file(name))
            about["why"] = self.why_refused(name)
            found.append(about)
        return found

    def _about(self, path: Path) -> PostAbout:
        known: PostAbout = {"file": str(path)}
        with contextlib.suppress(
            OSError, ValueError
        ):  # it was just delivered, or is no post: then only its name is told
            post = Post.from_json(path.read_bytes())
            known |= {"kind": post.kind, "experiment": post.experiment, "address": post.address}
            known |= {"query": post.query, "created": post.created}
        return known

    # ---------------------------------------------------------------------------------- delivering

    def deliver(self, send: Send, total: float, each: float, *, at_once: bool = False) -> list[str]:
        """Sends what waits, as far as the time goes.

        Args:
            send: Sends one post.
            total: Longest time for all, in s.
            each: Longest time for one, in s.
            at_once: Also what should wait a while after it failed.

        Returns:
            What was refused now, and why.
        """
        deadline = time.monotonic() + total
        refused: list[str] = []
        with self._alone(deadline) as alone:
            troubles = self._troubles()
            lanes = self._lanes() if alone else {}
            for lane in sorted(lanes, key=lambda lane: troubles.get(lane, Trouble()).not_before):
                if at_once or troubles.get(lane, Trouble()).not_before <= time.time():
                    refused += self._deliver_lane(lane, lanes[lane], send, deadline, each)
        return refused

    def _deliver_lane(self, lane: str, names: list[str], send: Send, deadline: float, each: float) -> list[str]:
        refused = []
        for name in names:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            try:
                send(Post.from_json(self._file(name).read_bytes()), min(left, each))
            except FileNotFoundError:  # someone took it away
                continue
            except ElogError as error:
                if not error.final:
                    self._note(lane, error)
                    break
                refused.append(self._refuse(name, str(error)))
            except ValueError as error:
                refused.append(self._refuse(name, str(error)))
            else:
                self._file(name).unlink(missing_ok=True)
            self._note(lane, None)
        return refused

    def _refuse(self, name: str, why: str) -> str:
        make_folder(self.refused_folder)
        path = self._file(name)
        try:
            content = json.loads(path.read_bytes()) | {"refused": why, "refused_at": time.time()}
        except (ValueError, TypeError):  # it is kept as it is
            path.replace(self._refused_file(name))
        else:
            write_whole(self._refused_file(name), json.dumps(content).encode())
            path.unlink(missing_ok=True)
        return f"{why}. The post is in {self._refused_file(name)}; to try it again: lute elog send --refused"

    @contextlib.contextmanager
    def _alone(self, deadline: float) -> Iterator[bool]:
        """Holds the outbox's lock, which ends with the process; gives False if others had it all the time."""
        create_file(self.folder / "lock")
        descriptor = os.open(self.folder / "lock", os.O_RDWR)
        try:
            yield _lock(descriptor, deadline)
        finally:
            os.close(descriptor)

    # -------------------------------------------------------------------------------------- files

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _refused_file(self, name: str) -> Path:
        return self.refused_folder / f"{name}.json"

    def _lanes(self) -> dict[str, list[str]]:
        lanes: dict[str, list[str]] = {}
        for name in self.names():
            lanes.setdefault(self._lane(name), []).append(name)
        return lanes

    def _lane(self, name: str) -> str:
        """Returns the lane of a post. Only a status has an address of its own; others need not be read for it."""
        match = _NAME.fullmatch(name)
        kind = match["kind"] if match else ""
        if kind == "run_status":
            with contextlib.suppress(OSError, ValueError):  # who delivers it will tell
                return Post.from_json(self._file(name).read_bytes()).lane
        return kind

    def _troubles(self) -> dict[str, Trouble]:
        try:
            content = json.loads((self.folder / "tries.json").read_bytes())
            return {lane: Trouble(**trouble) for lane, trouble in content.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            logger.info("%s cannot be read, so everything is tried: %s", self.folder / "tries.json", error)
            return {}

    def _note(self, lane: str, error: ElogError | None) -> None:
        """Keeps why a lane waits, or that it does not."""
        troubles = self._troubles()
        if error is None and lane not in troubles:
            return
        if error is None:
            del troubles[lane]
        else:
            troubles[lane] = troubles.get(lane, Trouble()).again(error)
        content = {name: asdict(trouble) for name, trouble in troubles.items()}
        write_whole(self.folder / "tries.json", json.dumps(content).encode())


def _names_in(folder: Path) -> list[str]:
    try:
        files = os.listdir(folder)
    except FileNotFoundError:
        return []
    return sorted(file[:-5] for file in files if file.endswith(".json") and _NAME.fullmatch(file[:-5]))


def _lock(descriptor: int, deadline: float) -> bool:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            logger.info("this file system has no locks: two processes may deliver a post twice, with the same key")
            return True
        time.sleep(LOOK)
