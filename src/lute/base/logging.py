"""Loggers of `lute`: quiet unless the user configures Python's logging, as a library should be."""

from __future__ import annotations

import logging

__all__ = ["get_logger"]


def get_logger(name: str) -> logging.Logger:
    """Returns the logger for a module of `lute` or of a plug-in, under the root `lute`."""
    return logging.getLogger(name if name.split(".")[0] == "lute" else f"lute.{name}")
