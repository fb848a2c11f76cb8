"""Runs and workflow runs in SQLite or PostgreSQL."""
