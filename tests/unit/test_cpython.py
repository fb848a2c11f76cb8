"""What `lute` uses of CPython that no page of its documentation promises, in the versions that are supported."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

import lute

SUPPORTED = [(3, 11), (3, 12), (3, 13)]
"""A version is added here with its name in pyproject.toml, once the tests have run under it."""
PRIVATE = {
    "sys._getframe": "which module imports another by `importlib.import_module`, and which makes an Executor",
    "threading._shutdown": "waits for the threads that are no daemons, as Python does before it ends",
    "atexit._run_exitfuncs": "calls what was registered to be called at the end",
    "atexit._clear": "forgets what was registered, in a fork that is to run something else",
    "warnings._processoptions": "filters warnings as `-W` and `PYTHONWARNINGS` say",
    "subprocess._args_from_interpreter_flags": "the options of this Python, to start another with the same",
    "json.encoder.c_make_encoder": "JSON's encoder in C; None in a Python without it",
}
"""Each private name, and what it does for us."""


def test_the_versions_are_those_that_are_promised() -> None:
    """The classifiers name the versions for which the private names were looked at."""
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    named = re.findall(r"Programming Language :: Python :: 3\.(\d+)", text)
    assert [(3, int(minor)) for minor in named] == SUPPORTED


@pytest.mark.skipif(sys.version_info[:2] not in SUPPORTED, reason="a Python that is not promised to work")
@pytest.mark.parametrize("name", PRIVATE)
def test_a_private_name_is_there(name: str) -> None:
    """A Python that has dropped or renamed one is told here, and not by a run that ends oddly."""
    module, _, attribute = name.rpartition(".")
    found = getattr(importlib.import_module(module), attribute)
    assert callable(found)


def test_no_other_private_name_is_used() -> None:
    """Each use of a private name of the modules above is in the list."""
    modules = {name.rpartition(".")[0] for name in PRIVATE} | {"os", "sys", "signal", "asyncio", "socket", "io"}
    pattern = re.compile(rf"(?<![\w.])({'|'.join(sorted(map(re.escape, modules)))})\.(_[a-z]\w*)")
    public = {"os._exit"}
    used = {
        f"{module}.{name}"
        for file in Path(lute.__file__).parent.rglob("*.py")
        for module, name in pattern.findall(file.read_text(encoding="utf-8"))
    }
    assert used - public <= PRIVATE.keys()
    assert used >= {name for name in PRIVATE if name.rpartition(".")[2].startswith("_")}, "what is not used any more"
