"""Loading of code: files and modules that were given by name, each once and under a name that is the same everywhere.

A file is loaded under the name by which any process with the same search path can import it, so that what it defines
can travel between processes: `tasks` for `tasks.py`, `pack.tasks` inside a package. Its folder is searched last for
what it imports, and its `templates/` for templates.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import importlib
import importlib.machinery
import importlib.util
import os
import sys
import threading
import traceback
import warnings
from pathlib import Path
from types import ModuleType
from typing import Callable, Iterator, Sequence

from lute.base import imports
from lute.errors import PluginError, did_you_mean

PRIVATE = "lute_plugin_"
"""How the name of a plug-in begins that cannot be imported by another."""
MOST_FOLDERS = 4
"""Of so many folders above a plug-in the names may be needed to tell it from others."""

_loaded: dict[str, ModuleType] = {}
_loading = threading.RLock()  # a plug-in may load another; two threads must not load one twice


def load(spec: str, *adopt: Callable[[ModuleType], None]) -> ModuleType:
    """Loads one plug-in, once.

    Args:
        spec: A file that ends in `.py`, or the name of a module.
        *adopt: Called with the module when it has been loaded.

    Raises:
        PluginError: It does not exist or cannot be imported.
    """
    with _loading:
        if spec in _loaded:  # told as `loaded()` tells it
            return _loaded[spec]
        is_file = spec.endswith(".py") or os.sep in spec
        key = str(Path(spec).expanduser().resolve()) if is_file else spec
        if key not in _loaded:
            imports.watch()
            with contextlib.redirect_stdout(sys.stderr):  # what it prints is no result
                _loaded[key] = _import(key, is_file)
            for take_up in adopt:
                take_up(_loaded[key])
        return _loaded[key]


def loaded() -> list[str]:
    """Returns the plug-ins loaded so far, as another process should load them."""
    return list(_loaded)


def modules() -> list[ModuleType]:
    """Returns the modules of the plug-ins loaded so far."""
    return list(_loaded.values())


def folders() -> list[str]:
    """Returns the folder of each plug-in loaded so far."""
    files = [module.__file__ for module in _loaded.values() if module.__file__]
    return list(dict.fromkeys(str(Path(file).parent) for file in files))


def module_name(path: str) -> str:
    """Returns the name under which a plug-in's file is loaded, and sees to it that it can be imported by that name.

    A file in a package is loaded as a part of that. Where a name means another module already, the names of the
    folders above come before it (`mine.tasks`); where all do, the name is made from the path, and is known to
    processes of ours alone.
    """
    file = Path(path)
    folder = file.parent
    names = [file.stem]
    if file.name == "__init__.py":
        names, folder = [folder.name], folder.parent
    while (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    for _ in range(MOST_FOLDERS):
        if not all(names) or any("." in name for name in names):
            break
        if _means(names, str(folder), path):
            _search_last(str(folder))
            return ".".join(names)
        names.insert(0, folder.name)
        folder = folder.parent
    return private_name(path)


def private_name(path: str) -> str:
    """Returns the name made from a file's path, which an older `lute` used for all plug-ins."""
    stem = "".join(char if char.isalnum() else "_" for char in Path(path).stem)
    return f"{PRIVATE}{stem}_{hashlib.sha1(path.encode(), usedforsecurity=False).hexdigest()[:8]}"


def _means(names: list[str], folder: str, path: str) -> bool:
    """Returns whether a dotted name means a file, with a folder searched last; nothing is imported to find out."""
    known = sys.modules.get(".".join(names))
    if known is not None:
        return os.path.realpath(getattr(known, "__file__", None) or "") == path
    if names[0] in sys.builtin_module_names:
        return False
    places: Sequence[str] = sys.path if folder in sys.path else [*sys.path, folder]
    for end in range(1, len(names) + 1):
        for place in places:
            finder = sys.path_importer_cache.get(place)
            if path.startswith(place) and finder is not None and hasattr(finder, "invalidate_caches"):
                finder.invalidate_caches()  # the file may be newer than what was seen there
        spec = importlib.machinery.PathFinder.find_spec(names[end - 1], places)  # its own name: no parent is loaded
        if spec is None:
            return False
        if end == len(names):
            return spec.origin is not None and os.path.realpath(spec.origin) == path
        origin, inside = spec.origin, spec.submodule_search_locations
        if inside is None or (origin and not path.startswith(os.path.dirname(os.path.realpath(origin)) + os.sep)):
            return False
        places = list(inside)
    return False


def _search_last(folder: str) -> None:
    if folder not in sys.path:
        sys.path.append(folder)


def _import(key: str, is_file: bool) -> ModuleType:
    with warnings.catch_warnings():
        _quieten_older_models()
        try:
            return _import_file(key) if is_file else _import_module(key)
        except PluginError:
            raise
        except ModuleNotFoundError as error:
            if not is_file and error.name == key.split(".")[0]:
                raise PluginError(
                    f"plug-in {key!r} is no module that can be imported, and no file: a file's name ends in .py"
                ) from error
            raise PluginError(_explain(key, error)) from error
        except (Exception, SystemExit) as error:
            raise PluginError(_explain(key, error)) from error


def _import_module(name: str) -> ModuleType:
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)  # as `python -m` would
    return importlib.import_module(name)


def _quieten_older_models() -> None:
    try:
        from pydantic import PydanticDeprecatedSince20
    except ImportError:  # a Python that has nothing installed: there are no models to be noisy
        return
    warnings.simplefilter("ignore", PydanticDeprecatedSince20)


def _import_file(path: str) -> ModuleType:
    if not os.path.isfile(path):
        folder = os.path.dirname(path)
        there = [name for name in os.listdir(folder) if name.endswith(".py")] if os.path.isdir(folder) else []
        raise PluginError(f"plug-in {path} does not exist.{did_you_mean(os.path.basename(path), there)}")
    _search_last(os.path.dirname(path))
    name = module_name(path)
    if not name.startswith(PRIVATE):
        return importlib.import_module(name)
    spec = importlib.util.spec_from_file_location(name, path, loader=imports.ProjectLoader(name, path))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _explain(key: str, error: BaseException) -> str:
    lines = [entry for entry in traceback.extract_tb(error.__traceback__) if not entry.filename.startswith("<")]
    inside = [entry for entry in lines if entry.filename == key] or lines[-1:]
    place = f"{inside[-1].filename}, line {inside[-1].lineno}: " if inside else ""
    return f"plug-in {key} cannot be loaded: {place}{type(error).__name__}: {error}"


@contextlib.contextmanager
def for_good() -> Iterator[None]:
    """Has the garbage collector never look at what is loaded meanwhile: nothing of that is garbage."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collects:
            gc.enable()
