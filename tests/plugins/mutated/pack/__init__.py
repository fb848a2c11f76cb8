"""A package."""

UNUSED = 1
