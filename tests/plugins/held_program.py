import os
from pathlib import Path

import daemons

home = Path(os.environ["FAULTS_HOME"])
(home / "child").write_text(str(os.getpid()))
if os.environ["FAULTS_PHASE"] == "run":
    daemons.leave(home / "pids")
    (home / "reached").touch()
    with open(home / "go") as fifo:
        fifo.read()
