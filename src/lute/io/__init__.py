"""Doors to `config`, `record`, `publish` and `models`, by the names that people import."""
