"""A Task that does nothing, run in a process that waits for a real one.

Each page of memory that a forked process touches first is copied, and what a short Task costs is mostly that: code and
types count their references in place. A process that waits has the time to do it.
"""

from __future__ import annotations

import socket

from lute import registry
from lute.models.base import AnalysisHeader, TaskParameters
from lute.tasks.task import Task
from lute.wire import channel, framing
from lute.wire.control import Go, to_json


class _Nothing(Task):
    _under_executor = True

    def _run(self) -> None:
        pass


del registry.tasks[_Nothing.__name__]  # nobody else is to find it
_PARAMETERS = TaskParameters.model_construct(lute_config=AnalysisHeader.model_construct())
_SENT = b"".join(bytes(piece) for piece in framing.encode(framing.VALUE, None, _PARAMETERS))


def warm_up() -> None:
    """Runs the Task from its parameters to its result. This process's channel is another one afterwards."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        executor = channel.Channel(ours)
        executor.control(to_json(Go()))
        channel.adopt(channel.Channel(theirs))
        decoder = framing.Decoder()
        decoder.feed(_SENT)
        _Nothing(params=decoder.frames()[0].contents).run()
    channel.adopt(None)
