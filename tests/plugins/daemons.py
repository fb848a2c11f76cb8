"""Leaves two processes that ignore SIGTERM and have left session and parent: one forked, one of a new program."""

import os
import signal
import sys
from pathlib import Path


def stay():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    while True:
        signal.pause()


def leave(folder, bare=False):
    folder = Path(folder)
    folder.mkdir(exist_ok=True)
    read, write = os.pipe()
    for name in ("forked", "program"):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.close(read)
                if name == "program":
                    os.set_inheritable(write, True)
                    env = dict(os.environ)
                    if bare:
                        env = {"FAULTS_MARK": os.environ["FAULTS_MARK"]}
                    arguments = [sys.executable, "-S", __file__, str(folder), str(write)]
                    os.execve(sys.executable, arguments, env)
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                (folder / name).write_text(str(os.getpid()))
                os.write(write, b"+")
                os.close(write)
                stay()
            os._exit(0)
    os.close(write)
    for _ in range(2):
        os.wait()
    told = b""
    while len(told) < 2:
        told += os.read(read, 2)
    os.close(read)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        (Path(sys.argv[1]) / "program").write_text(str(os.getpid()))
        os.write(int(sys.argv[2]), b"+")
        os.close(int(sys.argv[2]))
        stay()
    leave(sys.argv[1])
