"""The environment that a shell script leaves: bash sources it, and no value reaches bash's command line."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lute.errors import LaunchError
from lute.execution import environment
from lute.execution.exit_info import SourcingCancelled, Timeouts
from lute.execution.supervisor import RunEvents, Supervisor
from lute.launcher.handle import Launcher

if TYPE_CHECKING:
    from lute.launcher.events import StartRequest

_CODE = """
__lute_left=$1 __lute_env=$2 __lute_script=$3 __lute_modules=("${@:4}")
set --
if [ -n "$__lute_script" ]; then source "$__lute_script" >&2 || exit; fi
if [ "${#__lute_modules[@]}" -gt 0 ]; then
    [ -n "$(type -t module)" ] || [ ! -r "${MODULESHOME:-}/init/bash" ] || source "$MODULESHOME/init/bash" >&2
    module load "${__lute_modules[@]}" >&2 || exit
fi
exec "$__lute_env" -0 >"$__lute_left"
"""
"""What bash runs. The names of files and modules are its arguments, and no part of this text."""


class ShellSourcing:
    """A script that is sourced for one run, and modules that are loaded after it.

    Args:
        launcher: Starts bash.
        run: An id for its processes.
        change: The script's path, and the modules' names.
        left: File for the environment that it leaves; only this user can read it, and it is removed.
        limits: Times, as for the Task.
        events: Told when it is time to look around.
    """

    def __init__(
        self, launcher: Launcher, run: str, change: environment.Change, left: Path, limits: Timeouts, events: RunEvents
    ) -> None:
        self._run, self._script, self._modules, self._left = run, change.script, change.modules, left
        self.supervisor = Supervisor(launcher, run, [], limits, events, can_clean_up=False)

    def environment(self, env: dict[str, str], cwd: str, log: int) -> dict[str, str]:
        """Returns what script and modules leave of `env`.

        Args:
            env: The environment to start from.
            cwd: The folder to be in.
            log: Descriptor that gets what they print.

        Raises:
            LaunchError: The script does not exist, or one of them fails.
            Stopped: It was cancelled, or took longer than the Task may.
        """
        script = os.path.abspath(self._script) if self._script else ""  # bash looks for a bare name on PATH first
        if script and not os.path.isfile(script):
            raise LaunchError(f"the script {self._script}, which is to be sourced, does not exist")
        env_program = shutil.which("env", path=os.defpath) or "env"  # the script may leave another PATH
        argv = ["bash", "--noprofile", "--norc", "-c", _CODE, "lute", str(self._left), env_program, script]
        argv += self._modules
        with open(os.devnull, "rb") as nothing, _umask(0o077):
            request: StartRequest = {"argv": argv, "env": {**env, "LUTE_RUN_ID": self._run}, "cwd": cwd}
            self.supervisor.begin(request, [nothing.fileno(), log, log], log)
            ending = self.supervisor.watch()
        if ending.stopped_by is not None:
            raise SourcingCancelled(ending.stopped_by)
        if ending.exit_code != 0 or not self._left.exists():
            why = ending.failed or ending.lost or ending.signal or f"exit status {ending.exit_code}"
            what = [f"source {self._script}"] if self._script else []
            what += [f"module load {' '.join(self._modules)}"] if self._modules else []
            raise LaunchError(f"{' or '.join(what)} failed: {why}. The log has what was printed")
        own = {name: env[name] for name in environment.SHELL_OWN if name in env}
        found = {**own, **environment.parse_env_output(self._left.read_bytes())}
        self._left.unlink()
        return environment.without_ours(found)


@contextlib.contextmanager
def _umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)
