"""YAML text to validated parameters, every problem with its place."""
