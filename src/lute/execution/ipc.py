"""The door to `lute.wire.ipc`."""

from lute.wire.ipc import LUTE_SIGNALS as LUTE_SIGNALS
from lute.wire.ipc import Communicator as Communicator
from lute.wire.ipc import Message as Message
from lute.wire.ipc import Party as Party
from lute.wire.ipc import PipeCommunicator as PipeCommunicator
from lute.wire.ipc import SocketCommunicator as SocketCommunicator

__all__ = ["LUTE_SIGNALS", "Communicator", "Message", "Party", "PipeCommunicator", "SocketCommunicator"]
