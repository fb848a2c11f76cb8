"""Which installed distributions the names that are imported belong to, and their versions.

To ask Python takes a quarter of a second, so that the answer is kept for each interpreter, in
`$XDG_CACHE_HOME/lute/installed-*.json`, as long as no distribution comes or goes.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from lute.base.files import write_whole

Distribution = tuple[str, str]
"""Name and version."""


def versions_of(names: Iterable[str]) -> dict[str, str]:
    """Returns the versions of the distributions that top-level names belong to, by the distributions' names."""
    wanted = list(names)
    if not wanted:
        return {}
    known = _installed(_stamp())
    return dict(sorted({distribution for name in wanted for distribution in known.get(name, ())}))


def installed_version(distribution: str) -> str:
    """Returns the version of a distribution by its name; `not installed` if it is not."""
    from importlib import metadata

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


def _stamp() -> str:
    """Returns a text that changes when a distribution comes or goes: each adds to or removes from its folder."""
    folders = [path for path in sys.path if os.path.basename(path) in ("site-packages", "dist-packages")]
    times = [[folder, os.stat(folder).st_mtime_ns] for folder in folders if os.path.isdir(folder)]
    return json.dumps([sys.version, times])


@functools.lru_cache(maxsize=1)
def _installed(stamp: str) -> dict[str, list[Distribution]]:
    """Returns the distributions that each top-level name belongs to."""
    file = _cache()
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept["stamp"] == stamp:
            return {name: [(one, version) for one, version in several] for name, several in kept["names"].items()}
    from importlib import metadata  # 20 ms, and only where nothing is kept

    found: dict[str, list[Distribution]] = {}
    for name, distributions in metadata.packages_distributions().items():
        found[name] = [(one, metadata.version(one)) for one in dict.fromkeys(distributions)]
    with contextlib.suppress(OSError):  # a home that cannot be written: it is asked again next time
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps({"stamp": stamp, "names": found}).encode())
    return found


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    interpreter = hashlib.sha256(f"{sys.prefix}\0{sys.version}".encode()).hexdigest()[:16]
    return Path(home, "lute", f"installed-{interpreter}.json")
