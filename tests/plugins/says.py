import json
import os
import pickle
import struct
import sys
import time
from pathlib import Path

from lute import Executor, Message, Task, TaskParameters


class SayParameters(TaskParameters):
    code: str


class Say(Task):
    def _run(self):
        def tell(contents=None, signal=None):
            self._report_to_executor(Message(contents=contents, signal=signal))

        modules = {"os": os, "sys": sys, "pickle": pickle, "struct": struct}
        exec(self._task_parameters.code, {"tell": tell, "Message": Message, "task": self, **modules})


class LoudParameters(TaskParameters):
    pass


class Loud(Task):
    def _report_to_executor(self, msg):
        if msg.signal is None:
            msg = Message(contents=msg.contents.upper())
        super()._report_to_executor(msg)

    def _run(self):
        self._report_to_executor(Message(contents="quiet"))


seen = []


def broken(executor, msg, proc):
    raise RuntimeError("the hook is broken")


def keep(executor, msg, proc):
    seen.append(msg.contents["n"])
    end = time.monotonic() + (0.005 if msg.contents["n"] % 100 else 60)
    while time.monotonic() < end:
        pass


def told(executor, msg, proc):
    Path("seen.json").write_text(json.dumps(seen))


Sayer = Executor("Say")
if "BROKEN_HOOK" in os.environ:
    Sayer.add_hook(os.environ["BROKEN_HOOK"], broken)
if "SLOW_HOOK" in os.environ:
    Sayer.add_hook("TASK_LOG", keep)
    Sayer.add_hook("TASK_RESULT", told)
