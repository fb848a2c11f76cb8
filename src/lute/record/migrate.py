"""The schema of a database, brought up to date step by step."""

from __future__ import annotations

import logging

from lute.errors import RecordError
from lute.record import schema
from lute.record.database import Database

logger = logging.getLogger(__name__)


def upgraded(database: Database, wait: float | None) -> int:
    """Brings the schema up to date where it can be written. Returns its version.

    Args:
        database: The database, open.
        wait: Longest time to wait for other writers, in s; the database's own if not given.

    Raises:
        RecordError: It is no record, or a newer `lute` wrote it.
    """
    newest, version = len(schema.MIGRATIONS), database.version()
    if version > newest:
        raise RecordError(
            f"{database.name} was written by a newer lute (schema {version}, known {newest}): update lute"
        )
    if version == newest or (database.read_only() and version > 0):
        return version
    if database.read_only():
        raise RecordError(f"{database.name} is no record of lute, and it cannot be written")
    with database.transaction(wait, patient=True):
        database.lock()
        version = database.version()
        for statements in schema.MIGRATIONS[version:]:
            for statement in statements:
                database.execute(statement.format(**database.types))
        if version < newest:
            database.set_version(newest)
    if 0 < version < newest:
        logger.info("the record %s was brought from schema %d to schema %d", database.name, version, newest)
    return newest
