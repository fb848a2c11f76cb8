"""The outbox: order, back-off, what is refused, and who delivers. What sends is a function of the test's."""

from __future__ import annotations

import fcntl
import json
import threading
import time
from pathlib import Path

import pytest

from lute.errors import ElogError
from lute.publish.outbox import Attachment, Outbox, Post, Trouble

MINUTE = 60.0


class Sender:
    """Takes posts, or says why not; it keeps what it took."""

    def __init__(self, **wrong: ElogError) -> None:
        self.wrong = wrong
        self.tried: list[str] = []
        self.taken: list[str] = []

    def __call__(self, post: Post, seconds: float) -> None:
        name = str(post.body)
        self.tried.append(name)
        if name in self.wrong:
            raise self.wrong[name]
        self.taken.append(name)


def filled(folder: Path, *posts: tuple[str, str] | tuple[str, str, str]) -> Outbox:
    """Returns an outbox with posts, given by kind, body and perhaps address."""
    outbox = Outbox(folder)
    for kind, body, *address in posts:
        outbox.keep(Post(kind, address[0] if address else "/x", body=body))
    return outbox


def test_a_post_is_read_as_it_was_written(tmp_path: Path) -> None:
    """A5: what is kept is the whole post."""
    post = Post(
        "message", "/a", "exp1", {"q": "1"}, [1, "é"], {"f": ""}, (Attachment("n", "t", "AA=="),), 1234.5, "0a" * 8
    )
    outbox = Outbox(tmp_path)
    outbox.keep(post)
    taken = []
    outbox.deliver(lambda post, seconds: taken.append(post), MINUTE, MINUTE)
    assert taken == [post]
    assert post.name == "19700101T002034.500000Z-message-0a0a0a0a0a0a0a0a"


def test_each_kind_keeps_its_order_and_holds_up_no_other(tmp_path: Path) -> None:
    """A5: a post that has to wait holds up those of its kind behind it, and nothing else."""
    outbox = filled(tmp_path, ("message", "m1"), ("run_table", "t1"), ("message", "m2"), ("run_table", "t2"))
    sender = Sender(m1=ElogError("later"))
    assert outbox.deliver(sender, MINUTE, MINUTE) == []
    assert sender.tried == ["m1", "t1", "t2"]
    assert [post["why"] for post in outbox.waiting()] == ["later", "not tried yet"]
    sender.wrong.clear()
    outbox.deliver(sender, MINUTE, MINUTE)
    assert sender.taken == ["t1", "t2", "m1", "m2"]


def test_an_address_of_its_own_is_a_lane_of_its_own(tmp_path: Path) -> None:
    """A5: the status of a job that is gone for ever holds up no other job's."""
    old, new = "http://gone/1", "http://here/2"
    outbox = filled(tmp_path, ("run_status", "a", old), ("run_status", "b", new), ("run_status", "c", old))
    sender = Sender(a=ElogError("gone"))
    outbox.deliver(sender, MINUTE, MINUTE)
    assert sender.taken == ["b"]


def test_what_is_refused_is_put_away_and_the_next_is_sent(tmp_path: Path) -> None:
    """A5: a refusal is told once, with its reason, and holds up nothing."""
    outbox = filled(tmp_path, ("message", "m1"), ("message", "m2"))
    sender = Sender(m1=ElogError("no such experiment", final=True))
    (told,) = outbox.deliver(sender, MINUTE, MINUTE)
    assert "no such experiment" in told
    assert (sender.taken, outbox.names()) == (["m2"], [])
    assert outbox.deliver(sender, MINUTE, MINUTE) == []
    (refused,) = outbox.refused()
    assert (refused["why"], refused["kind"]) == ("no such experiment", "message")
    sender.wrong.clear()
    assert outbox.take_back() == 1
    outbox.deliver(sender, MINUTE, MINUTE)
    assert (sender.taken, outbox.refused()) == (["m2", "m1"], [])


@pytest.mark.parametrize("text", ["", "{", "[]", '{"kind": "message"}', '{"unknown": 1}', "null", '{"files": [1]}'])
def test_a_file_that_is_no_post_is_put_away(tmp_path: Path, text: str) -> None:
    """A5: what someone else left there does not hold up the rest."""
    outbox = filled(tmp_path, ("message", "m1"))
    strange = outbox.folder / "20200101T000000.000000Z-message-00000000000000aa.json"
    strange.write_text(text)
    (outbox.folder / "notes.txt").write_text("mine")
    assert outbox.waiting()[0]["file"] == str(strange)
    sender = Sender()
    assert len(outbox.deliver(sender, MINUTE, MINUTE)) == 1
    assert (sender.taken, len(outbox.refused())) == (["m1"], 1)
    assert (outbox.folder / "notes.txt").exists()


def test_back_off_grows_to_five_minutes() -> None:
    """A5: the first failure is followed by a try at the next chance; then the pauses double."""
    trouble, pauses = Trouble(), []
    for _ in range(12):
        trouble = trouble.again(ElogError("down"))
        pauses.append(round(trouble.not_before - time.time()))
    assert pauses == [0, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]


def test_what_waits_is_tried_when_its_time_has_come_or_when_asked(tmp_path: Path) -> None:
    """A5: back-off holds for all processes, since it is kept in the outbox; `lute elog send` does not wait."""
    outbox = filled(tmp_path, ("message", "m1"))
    sender = Sender(m1=ElogError("down", retry_after=100))
    outbox.deliver(sender, MINUTE, MINUTE)
    Outbox(tmp_path).deliver(sender, MINUTE, MINUTE)
    assert sender.tried == ["m1"]
    assert "next try is in 100 s" in str(outbox.why_left(outbox.names()[0]))
    Outbox(tmp_path).deliver(sender, MINUTE, MINUTE, at_once=True)
    assert sender.tried == ["m1", "m1"]
    assert outbox.waiting()[0]["tries"] == 2


def test_success_ends_the_back_off(tmp_path: Path) -> None:
    """A5: after a post was taken, a later failure starts from the beginning."""
    outbox = filled(tmp_path, ("message", "m1"))
    sender = Sender(m1=ElogError("down", retry_after=100), m2=ElogError("down"))
    outbox.deliver(sender, MINUTE, MINUTE)
    sender.wrong.pop("m1")
    outbox.deliver(sender, MINUTE, MINUTE, at_once=True)
    outbox.keep(Post("message", "/x", body="m2"))
    outbox.deliver(sender, MINUTE, MINUTE)
    assert outbox.waiting()[0]["tries"] == 1


@pytest.mark.parametrize("text", ["", "[]", '{"message": 1}', '{"message": {"odd": 1}}', "\0"])
def test_broken_notes_on_tries_are_no_hindrance(tmp_path: Path, text: str) -> None:
    """A5: what is noted of tries can be lost; the posts cannot."""
    outbox = filled(tmp_path, ("message", "m1"))
    (outbox.folder / "tries.json").write_text(text)
    sender = Sender()
    outbox.deliver(sender, MINUTE, MINUTE)
    assert sender.taken == ["m1"]


def test_no_more_time_is_spent_than_given(tmp_path: Path) -> None:
    """A5: when the time is over, the rest waits for the next time."""
    outbox = filled(tmp_path, *(("message", f"m{number}") for number in range(50)))
    given = []

    def slow(post: Post, seconds: float) -> None:
        given.append(seconds)
        threading.Event().wait(0.05)

    begin = time.monotonic()
    outbox.deliver(slow, 0.2, MINUTE)
    assert time.monotonic() - begin < 1
    assert len(outbox.names()) == 50 - len(given)
    assert 1 <= len(given) <= 4
    assert max(given) <= 0.2
    assert given == sorted(given, reverse=True)


def test_one_process_delivers_at_a_time(tmp_path: Path) -> None:
    """A5: while another one delivers, the time that is given is waited, and nothing is sent."""
    outbox = filled(tmp_path, ("message", "m1"))
    sender = Sender()
    with open(outbox.folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        begin = time.monotonic()
        assert outbox.deliver(sender, 0.2, MINUTE) == []
        assert 0.2 <= time.monotonic() - begin < 1
    assert sender.tried == []
    outbox.deliver(sender, 0.2, MINUTE)
    assert sender.taken == ["m1"]


def test_threads_deliver_each_post_once(tmp_path: Path) -> None:
    """A5: nothing is delivered twice, and each keeps its order, however many deliver."""
    outbox = filled(tmp_path, *(("message", f"{number:02}") for number in range(40)))
    sender = Sender()
    threads = [threading.Thread(target=Outbox(tmp_path).deliver, args=(sender, MINUTE, MINUTE)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sender.taken == [f"{number:02}" for number in range(40)]
    assert outbox.names() == []


def test_a_post_that_someone_took_away_is_passed_over(tmp_path: Path) -> None:
    """A5: deleting a file gives a post up."""
    outbox = filled(tmp_path, ("message", "m1"), ("message", "m2"))

    def send(post: Post, seconds: float) -> None:
        for file in outbox.folder.glob("*-message-*.json"):
            file.unlink()

    assert outbox.deliver(send, MINUTE, MINUTE) == []
    assert outbox.names() == []


def test_an_outbox_that_is_not_there_is_empty(tmp_path: Path) -> None:
    """A5: looking makes nothing."""
    outbox = Outbox(tmp_path / "missing")
    assert (outbox.names(), outbox.waiting(), outbox.refused(), outbox.take_back()) == ([], [], [], 0)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        outbox.keep(Post("message", "/x"))
    assert list(tmp_path.iterdir()) == []


def test_what_is_refused_keeps_all_that_it_had(tmp_path: Path) -> None:
    """A5: `refused/` holds the whole post, and why."""
    outbox = filled(tmp_path, ("message", "m1"))
    before = json.loads((outbox.folder / f"{outbox.names()[0]}.json").read_text())
    outbox.deliver(Sender(m1=ElogError("no", final=True)), MINUTE, MINUTE)
    after = json.loads(Path(outbox.refused()[0]["file"]).read_text())
    assert after.pop("refused") == "no"
    assert after.pop("refused_at") > before["created"]
    assert after == before
