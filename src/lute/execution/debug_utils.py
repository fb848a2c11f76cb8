"""The door to `lute.base.debug`."""

from lute.base.debug import LUTE_DEBUG_EXIT as LUTE_DEBUG_EXIT

__all__ = ["LUTE_DEBUG_EXIT"]
