"""Workflows as data: steps, rules and order. Pure: nothing here starts or reads anything."""
