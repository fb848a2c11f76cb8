"""Real programs on a real image: what they say of themselves decides (SPEC C3), and what failed is not handed on (C1).

The program is DIALS (apt-get install dials python3-cctbx libcctbx-dev), the image is what `fetch_frame.sh` fetches:
`make science` does. Limits are loosened until this one image is indexed; they are no recommendation.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from conftest import Project

FRAME = Path(os.environ.get("LUTE_SCIENCE", Path(__file__).parents[2] / ".science")) / "frame.cbf"
SPOTS = {
    "gain": 25,
    "threshold_gain": 25,
    "global_threshold": 100,
    "min_spot_size": 2,
    "sigma_strong": 3,
}
"""What finds 225 spots on this image."""
FIND = [part for name, value in SPOTS.items() for part in ("-s", f"FindSpots.{name}={value}")]

pytestmark = pytest.mark.science


@pytest.fixture
def imported(project: Project) -> Project:
    """A project in which the image is imported."""
    assert FRAME.is_file(), "the image is not there: make science"
    project.plugin("stills")
    project.config(f"ImportImages: {{image: {FRAME}}}")
    # Debian's python3-cctbx lacks a compiled module of which no function is called here.
    project.write("shim/xfel_mono_sim_ext.py", "")
    project.env["PYTHONPATH"] = str(project.folder / "shim")
    project.run_task("ImageImporter")
    return project


def test_too_many_strong_pixels(imported: Project) -> None:
    """C3: `find_spots` with its defaults is FAILED, and the reason has the program's own limit."""
    run = imported.run_task("SpotFinder")
    assert run["status"] == "FAILED"
    assert "maximum allowed (574240)" in run["reason"]


def test_nothing_indexed(imported: Project) -> None:
    """C1, C3: `ssx_index` ends with 0 and writes a file without reflections: FAILED, and the file goes nowhere."""
    assert imported.run_task("SpotFinder", *FIND)["status"] == "COMPLETED"
    none = imported.run_task("Indexer")
    assert (none["status"], none["reason"]) == ("FAILED", "nothing indexed")
    assert 0 < (imported.folder / "indexed.refl").stat().st_size < 1000
    refused = imported.lute("run", "Integrator", "-c", "config.yaml")
    assert (refused.code, "IndexStills has no valid 'indexed' recorded" in refused.err) == (2, True), refused

    found = imported.run_task("Indexer", "-s", "IndexStills.rmsd_min_px=3.5")
    assert found["status"] == "COMPLETED", found["reason"]
    assert imported.run_task("Integrator")["status"] == "COMPLETED"

    assert imported.run_task("Indexer")["reason"] == "nothing indexed"
    refused = imported.lute("run", "Integrator", "-c", "config.yaml")
    assert refused.code == 2, refused
    assert f"indexed.expt is not what run {found['id']} wrote" in refused.err
