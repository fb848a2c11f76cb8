"""Batch systems: jobs are submitted, watched and cancelled by the commands of a scheduler."""
