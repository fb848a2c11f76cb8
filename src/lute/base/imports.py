"""What was imported by what, and the text that each project file was compiled from.

A *project file* is one outside the standard library and installed distributions: what a user writes and edits. An
editable install counts as such, `lute` itself never does. From `watch()` on, each import statement of a project file
is noted as it is carried out, and each project file is loaded by us, so that its text is known as it was compiled.
Nothing here walks over `sys.modules`, whose pages a forked child would have to copy.
"""

from __future__ import annotations

import builtins
import functools
import hashlib
import importlib
import importlib.machinery
import importlib.util
import os
import sys
import sysconfig
from types import CodeType, ModuleType
from typing import Any, Callable, Iterable, Iterator, NamedTuple, Optional, Sequence


class Source(NamedTuple):
    """A project file as it was loaded.

    Attributes:
        module: The name of its module.
        path: The file, absolute.
        digest: The SHA-256 of its text.
        text: Its bytes.
    """

    module: str
    path: str
    digest: str
    text: bytes


class Found(NamedTuple):
    """What modules depend on.

    Attributes:
        sources: Project files.
        installed: The top-level names of what is installed and was imported by these files.
    """

    sources: list[Source]
    installed: list[str]


_Statement = tuple[str, int, tuple[str, ...]]
"""An import as it is written: the module's name, how many dots stand before it, the names taken from it."""

_statements: dict[str, dict[_Statement, None]] = {}
"""The imports of each project file, by its module's name."""
_sources: dict[str, Source] = {}
"""The project files that were loaded, by their modules' names."""
_listener: Optional[Callable[[Found], None]] = None
_told: set[str] = set()
"""The names that the listener has been told, of modules and of what is installed."""
_digests: dict[str, str] = {}
"""Those of the project files that were loaded, by path."""
_changes = 0
"""How often something here has changed."""
_dependencies: dict[tuple[str, ...], tuple[int, Found]] = {}
"""What was found of some modules, and at which change."""
_really_import = builtins.__import__
_really_import_module = importlib.import_module


def watch() -> None:
    """Notes each import of a project file from now on, in this process and in those that it forks."""
    if builtins.__import__ is not _import:
        builtins.__import__ = _import
        importlib.import_module = _import_module
        finders: list[Any] = sys.meta_path
        paths = importlib.machinery.PathFinder
        finders.insert(finders.index(paths) if paths in finders else 0, _Finder)


def listen(listener: Callable[[Found], None]) -> None:
    """Has a function called with what is imported from now on, when it is: each file and each installed name once."""
    global _listener
    _listener = listener


def source_of(module: str) -> Optional[Source]:
    """Returns the file that a module was loaded from, if it is a project file.

    One that was loaded before it was watched for is looked at now.
    """
    if module not in _sources:
        path = getattr(sys.modules.get(module), "__file__", None)
        if not path or not is_project_file(path):
            return None
        try:
            with open(path, "rb") as file:
                _keep(module, path, file.read())
        except OSError:
            return None
    return _sources[module]


def loaded_digest(path: str) -> Optional[str]:
    """Returns the digest of the text that a file was loaded from; None if it was not."""
    return _digests.get(path)


def dependencies(modules: Iterable[str]) -> Found:
    """Returns the project files of modules, with all that these import, directly or not, in that order.

    Args:
        modules: Names of modules that were loaded; those of no project file are left out.
    """
    wanted = tuple(modules)
    known = _dependencies.get(wanted)
    if known is None or known[0] != _changes:
        _dependencies[wanted] = known = (_changes, _closure(wanted))
    return known[1]


def _closure(modules: Iterable[str]) -> Found:
    sources: dict[str, Source] = {}
    installed: dict[str, None] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop(0)
        source = source_of(name) if name not in sources else None
        if source is None:
            continue
        sources[name] = source
        for imported in _imported_by(name):
            if source_of(imported) is not None:
                waiting.append(imported)
            elif _is_installed(imported):
                installed[imported.partition(".")[0]] = None
    return Found(list({source.path: source for source in sources.values()}.values()), list(installed))


def _imported_by(module: str) -> Iterator[str]:
    """Gives the names of the modules that a project file imports; a package comes with each of its modules."""
    if module not in _statements and module in sys.modules:  # loaded before it was watched for
        yield from _seen_in(sys.modules[module])
    for statement in list(_statements.get(module, ())):
        yield from _modules_of(module, statement)


def _modules_of(importer: str, statement: _Statement) -> Iterator[str]:
    name, level, taken = statement
    if level:
        package = getattr(sys.modules.get(importer), "__package__", None) or importer.rpartition(".")[0]
        try:
            name = importlib.util.resolve_name("." * level + name, package)
        except (ImportError, ValueError):  # ValueError: Python 3.8's and earlier, of which some tools are
            return
    parts = name.split(".")
    yield from (".".join(parts[: end + 1]) for end in range(len(parts)))
    if "*" in taken:
        taken = tuple(getattr(sys.modules.get(name), "__all__", ()))
    yield from (f"{name}.{one}" for one in taken if f"{name}.{one}" in sys.modules)


def _seen_in(module: ModuleType) -> Iterator[str]:
    """Gives the modules that a module's own names show."""
    for value in list(vars(module).values()):
        name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        if isinstance(name, str) and name != module.__name__:
            yield name


# ------------------------------------------------------------------------------------------ which files


@functools.cache
def _library_folders() -> tuple[str, ...]:
    """Returns the folders of the standard library and of installed distributions, and our own; each ends in `/`."""
    paths = sysconfig.get_paths()
    folders = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    folders += [path for path in sys.path if os.path.basename(path) in ("site-packages", "dist-packages")]
    folders.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return tuple(dict.fromkeys(f"{os.path.realpath(folder)}/" for folder in folders))


def is_project_file(path: str) -> bool:
    """Returns whether a file is a user's own: neither the standard library's, nor installed, nor ours."""
    if "/site-packages/" in path or "/dist-packages/" in path or path.startswith("<"):
        return False
    return not os.path.realpath(path).startswith(_library_folders())


def _is_installed(module: str) -> bool:
    """Returns whether a module is of an installed distribution other than ours."""
    top = module.partition(".")[0]
    path = getattr(sys.modules.get(top), "__file__", None) or ""
    return top != "lute" and ("/site-packages/" in path or "/dist-packages/" in path)


# ------------------------------------------------------------------------------------------ as they come


def _import(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
    """Is `__import__`, which also notes who imports."""
    module = _really_import(name, globals, locals, fromlist, level)
    if globals is not None:
        importer = globals.get("__name__")
        if importer in _sources:
            _note(importer, (name, level, tuple(fromlist or ())))
    return module


def _import_module(name: str, package: Optional[str] = None) -> ModuleType:
    """Is `importlib.import_module`, which also notes who imports."""
    module = _really_import_module(name, package)
    importer = sys._getframe(1).f_globals.get("__name__")
    if importer in _sources:
        _note(importer, (module.__name__, 0, ()))
    return module


def without_hook(error: BaseException) -> BaseException:
    """Returns an error whose traceback does not show that we look at imports."""
    hooks = (_import.__code__, _import_module.__code__)
    before, step = None, error.__traceback__
    while step is not None:
        if step.tb_frame.f_code not in hooks:
            before = step
        elif before is None:
            error.__traceback__ = step.tb_next
        else:
            before.tb_next = step.tb_next
        step = step.tb_next
    return error


def _note(importer: str, statement: _Statement) -> None:
    known = _statements.setdefault(importer, {})
    if statement not in known:
        _changed()
        known[statement] = None
        if _listener is not None:
            _tell(_modules_of(importer, statement))


def _tell(modules: Iterable[str]) -> None:
    """Tells the listener of what it does not know yet."""
    modules = [name for name in modules if name not in _told]
    found = dependencies(modules)
    top = [name.partition(".")[0] for name in modules if source_of(name) is None and _is_installed(name)]
    sources = [source for source in found.sources if source.module not in _told]
    installed = [name for name in dict.fromkeys([*found.installed, *top]) if name not in _told]
    _told.update(modules, installed, (source.module for source in sources))
    if _listener is not None and (sources or installed):
        _listener(Found(sources, installed))


def _changed() -> None:
    global _changes
    _changes += 1


def _keep(module: str, path: str, text: bytes) -> None:
    _changed()
    source = Source(module, os.path.abspath(path), hashlib.sha256(text).hexdigest(), text)
    _sources[module] = source
    _digests[source.path] = source.digest


class ProjectLoader(importlib.machinery.SourceFileLoader):
    """Loads a project file, and keeps the text that it was compiled from."""

    def get_code(self, fullname: str) -> Optional[CodeType]:
        """Returns the module's code."""
        self._text: Optional[bytes] = None
        code = super().get_code(fullname)
        if self._text is None:  # from a file of bytecode, which says of its text the time and size
            self._text = self.get_data(self.path)
        _keep(fullname, self.path, self._text)
        _statements.setdefault(fullname, {})
        if _listener is not None:
            _tell([fullname])
        return code

    def get_data(self, path: str) -> bytes:
        """Returns the bytes of the file, or of its bytecode.

        Raises:
            OSError: It cannot be read, or is bytecode that may be of an older text: Python compares times in whole
                seconds.
        """
        if path != self.path and os.stat(path).st_mtime_ns <= os.stat(self.path).st_mtime_ns:
            raise OSError(f"{path!r} may be older than what it was compiled from")
        data = super().get_data(path)
        if path == self.path:
            self._text = data
        return data


class _Finder:
    """Lets others find a module; a project file is then loaded by us."""

    @classmethod
    def find_spec(
        cls, name: str, path: Optional[Sequence[str]] = None, target: Any = None
    ) -> Optional[importlib.machinery.ModuleSpec]:
        """Returns what the finders after this one find."""
        finders: list[Any] = sys.meta_path
        for finder in finders[finders.index(cls) + 1 :]:
            find = getattr(finder, "find_spec", None)
            spec: Optional[importlib.machinery.ModuleSpec] = find(name, path, target) if find is not None else None
            if spec is not None:
                loader = spec.loader
                if type(loader) is importlib.machinery.SourceFileLoader and is_project_file(loader.path):
                    spec.loader = ProjectLoader(loader.name, loader.path)
                return spec
        return None
