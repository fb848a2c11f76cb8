"""Workflows as data: steps, rules and order, in functions that start and read nothing."""
