"""The rows, a module for each group."""

import importlib

GROUPS = ("startup", "imports", "messages", "output", "record", "reading", "stopping", "workflow", "cluster", "growth")
"""The modules in the order of the table. Importing one adds its rows."""

for _name in GROUPS:
    importlib.import_module(f"lutebench.groups.{_name}")
