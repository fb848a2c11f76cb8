"""The door to `lute.record`."""

from lute.record.db import Record as Record
from lute.record.db import read_latest_db_entry as read_latest_db_entry
from lute.record.db import record_analysis_db as record_analysis_db

__all__ = ["Record", "read_latest_db_entry", "record_analysis_db"]
