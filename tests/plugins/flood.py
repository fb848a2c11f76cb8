import os
import pickle
import struct
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np

from lute import Executor, Message, Task, TaskParameters


class FloodParameters(TaskParameters):
    number: int = 10000
    chatty: bool = True


def chatter(stop, tag):
    line = f"noise {tag} \U0001f52c\n".encode()
    count = 0
    while not stop.is_set() and count < 20000:
        if tag % 2:
            os.write(1 + count % 2, line)
        else:
            print(line.decode(), end="", flush=True)
        count += 1


class Flood(Task):
    def _run(self):
        params = self._task_parameters
        stop = threading.Event()
        threads = [threading.Thread(target=chatter, args=(stop, tag)) for tag in range(3 if params.chatty else 0)]
        for thread in threads:
            thread.start()
        image = np.arange(10_000, dtype=np.float64)
        for number in range(params.number):
            kind = number % 5
            if kind == 0:
                self._report_to_executor(Message(contents={"number": number, "text": "x" * (number % 700)}))
            elif kind == 1:
                image[0] = number
                self._report_to_executor(Message(contents=image))
                image[0] = -1
            elif kind == 2:
                self._report_to_executor(Message(contents=f"text {number} caf\u00e9", signal="TASK_DONE"))
            else:
                self._report_to_executor(Message(contents=f"text {number} caf\u00e9"))
            if number % 10 == 0:
                print(f"print {number}", flush=number % 20 == 0)
            if number % 1000 == 500 and params.chatty:
                os.write(1, bytes(range(256)) + b"\n")
                os.write(2, struct.pack("!Q", 5) + b"hello" + pickle.dumps(Message("fake", "TASK_RESULT")) + b"\n")
                subprocess.run([sys.executable, "-c", "print('from a child ' * 1000)"], check=True)
        stop.set()
        for thread in threads:
            thread.join()
        self._result.payload = params.number


seen = []


def keep(executor, msg, proc):
    contents = msg.contents
    if isinstance(contents, dict):
        assert contents["text"] == "x" * (contents["number"] % 700)
        seen.append(contents["number"])
    elif isinstance(contents, str):
        seen.append(int(contents.split()[1]))
        assert contents == f"text {seen[-1]} caf\u00e9", contents
    else:
        assert contents.shape == (10_000,)
        assert contents.dtype == np.float64
        assert (contents[1:] == np.arange(1, 10_000)).all()
        seen.append(int(contents[0]))


def told(executor, msg, proc):
    Path("seen.json").write_text(__import__("json").dumps(seen))


Flooder = Executor("Flood")
Flooder.add_hook("TASK_LOG", keep)
Flooder.add_hook("TASK_DONE", keep)
Flooder.add_hook("TASK_RESULT", told)
