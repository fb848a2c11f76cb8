"""Measures `lute` beside the floor: what the machine needs for the same work without it."""
