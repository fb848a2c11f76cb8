"""What a site decides, as plain data. The core names no path, host or account; a plug-in's `Facility` does."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from types import ModuleType

__all__ = ["LAPTOP", "Facility", "current", "has_elog", "use", "adopt"]


@dataclass(frozen=True)
class Facility:
    """Where things are and go at a site. Text may use `{experiment}`, `{instrument}` and `{run}`.

    Attributes:
        name: The site's name.
        work_dir: Folder for the record and logs of an experiment.
        summary_dir: Folder for pages of figures; empty for `<work_dir>/summary`.
        elog_url: Address of the eLog's web service; empty for no eLog.
        slurm: Options of `sbatch` to start from, such as `{"partition": "milano", "account": "lcls:{experiment}"}`.
        elog_login: How one logs in to the eLog: `basic`, `token`, `kerberos`, or empty for not at all.
        elog_user: User for `basic`, such as `{instrument}opr`.
        elog_login_file: File whose first line is the password or the token.
        elog_ca_file: File with the certificates that the eLog's is checked against; empty for the usual ones.
    """

    name: str = "laptop"
    work_dir: str = "."
    summary_dir: str = ""
    elog_url: str = ""
    slurm: dict[str, str] = field(default_factory=dict)
    elog_login: str = ""
    elog_user: str = ""
    elog_login_file: str = ""
    elog_ca_file: str = ""

    def path(self, template: str, experiment: str, run: object = "") -> str:
        """Returns a path of this site with its names filled in.

        >>> Facility(work_dir="/data/{instrument}/{experiment}").path("/data/{instrument}/{experiment}", "mfxp1", 1)
        '/data/mfx/mfxp1'
        """
        return template.format(experiment=experiment, instrument=experiment[:3], run=run)

    def job_options(self, experiment: str, run: object = "") -> dict[str, str]:
        """Returns the options of `sbatch` that this site starts from, with its names filled in."""
        return {name: self.path(value, experiment, run) for name, value in self.slurm.items()}


LAPTOP = Facility()
_current = LAPTOP


def use(facility: Facility) -> None:
    """Makes `facility` the one that defaults come from; done when a plug-in that has one is loaded."""
    global _current
    _current = facility


def adopt(module: ModuleType) -> None:
    """Makes the facility that a plug-in names, if it names one, the one that defaults come from."""
    for value in list(vars(module).values()):
        if isinstance(value, Facility):
            use(value)


def current() -> Facility:
    """Returns the facility that defaults come from."""
    return _current


def has_elog() -> bool:
    """Returns whether anything is to be posted: if not, nothing of the eLog is even loaded."""
    return bool(os.environ.get("LUTE_ELOG_URL") or os.environ.get("JID_UPDATE_COUNTERS") or _current.elog_url)
