"""Still images of crystals with DIALS (https://dials.github.io): import, find spots, index."""

from __future__ import annotations

from typing import Annotated

from lute import Executor, FromResult, IsResult, KeyValue, Output, Positional, ThirdPartyParameters


class ImportImagesParameters(ThirdPartyParameters):
    """Writes what is known of an image."""

    executable: str = "dials.import"
    image: Annotated[str, Positional()]
    experiments: Annotated[str, KeyValue("output.experiments"), Output(), IsResult()] = "imported.expt"


class FindSpotsParameters(ThirdPartyParameters):
    """Finds the pixels that a reflection made."""

    executable: str = "dials.find_spots"
    experiments: Annotated[str, Positional(), FromResult("ImportImages", "experiments")]
    n_processes: Annotated[int, KeyValue("nproc")] = 1
    gain: Annotated[float | None, KeyValue("gain")] = None
    threshold_gain: Annotated[float | None, KeyValue("spotfinder.threshold.dispersion.gain")] = None
    global_threshold: Annotated[float | None, KeyValue("spotfinder.threshold.dispersion.global_threshold")] = None
    min_spot_size: Annotated[int | None, KeyValue("spotfinder.filter.min_spot_size")] = None
    sigma_strong: Annotated[float | None, KeyValue("spotfinder.threshold.dispersion.sigma_strong")] = None
    reflections: Annotated[str, KeyValue("output.reflections"), Output(), IsResult()] = "strong.refl"


class IndexStillsParameters(ThirdPartyParameters):
    """Finds lattice and orientation of each image; `ssx_index` ends with 0, and writes files, when it found none."""

    class Config(ThirdPartyParameters.Config):
        failure_patterns = {"nothing indexed": r"^0 spots indexed on 0 images"}

    executable: str = "dials.ssx_index"
    experiments: Annotated[str, Positional(), FromResult("ImportImages", "experiments")]
    spots: Annotated[str, Positional(), FromResult("FindSpots", "reflections")]
    n_processes: Annotated[int, KeyValue("nproc")] = 1
    max_cell: Annotated[float, KeyValue("max_cell")] = 150
    rmsd_min_px: Annotated[float | None, KeyValue("stills.rmsd_min_px")] = None
    indexed_experiments: Annotated[str, KeyValue("output.experiments"), Output()] = "indexed.expt"
    indexed: Annotated[str, KeyValue("output.reflections"), Output(), IsResult()] = "indexed.refl"


class IntegrateParameters(ThirdPartyParameters):
    """Measures the intensity of each reflection."""

    executable: str = "dials.ssx_integrate"
    experiments: Annotated[str, Positional(), FromResult("IndexStills", "indexed_experiments")]
    indexed: Annotated[str, Positional(), FromResult("IndexStills", "indexed")]
    n_processes: Annotated[int, KeyValue("nproc")] = 1
    algorithm: Annotated[str, KeyValue("algorithm")] = "stills"


ImageImporter = Executor("ImportImages")
SpotFinder = Executor("FindSpots")
Indexer = Executor("IndexStills")
Integrator = Executor("Integrate")
