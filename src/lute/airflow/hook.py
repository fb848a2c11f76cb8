"""Where `lute` is and what its environment has besides: an Airflow connection of the type `lute`."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lute.airflow._compat import AirflowException, AirflowNotFoundException, BaseHook

if TYPE_CHECKING:
    from lute.record.types import JsonObject

DEFAULT = "lute_default"


class LuteHook(BaseHook):  # type: ignore[misc]
    """Tells how `lute` is started.

    The connection's "extra" may have `command`, the command in Airflow's stead, such as `/opt/lute/bin/lute`, and
    `environment`, a mapping of variables. Without a connection it is the `lute` beside Airflow's Python, or on PATH.

    Args:
        lute_conn_id: The connection's id.
    """

    conn_name_attr = "lute_conn_id"
    default_conn_name = DEFAULT
    conn_type = "lute"
    hook_name = "lute"

    def __init__(self, lute_conn_id: str = DEFAULT) -> None:
        super().__init__()
        self._extra = _extra_of(lute_conn_id)

    @classmethod
    def get_ui_field_behaviour(cls) -> object:
        """Returns which fields of a connection Airflow's page shows."""
        return {
            "hidden_fields": ["host", "schema", "login", "password", "port"],
            "relabeling": {},
            "placeholders": {"extra": '{"command": "/opt/lute/bin/lute", "environment": {"PGPASSWORD": "..."}}'},
        }

    def command(self) -> list[str]:
        """Returns the beginning of every command line.

        Raises:
            AirflowException: There is no `lute`.
        """
        if given := self._extra.get("command"):
            return shlex.split(given) if isinstance(given, str) else [str(part) for part in given]
        beside = Path(sys.executable).with_name("lute")
        found = str(beside) if beside.exists() else shutil.which("lute")
        if not found:
            raise AirflowException(
                f"there is no `lute` beside {sys.executable} and none on PATH: add a connection {DEFAULT!r} of the"
                ' type lute with the extra {"command": "/path/to/lute"}'
            )
        return [found]

    def environment(self, base: Mapping[str, str] = os.environ) -> dict[str, str]:
        """Returns the environment of `lute`: that of Airflow without its settings and connections, and the extra's."""
        kept = {name: value for name, value in base.items() if not name.lstrip("_").startswith("AIRFLOW_")}
        return kept | {str(name): str(value) for name, value in self._extra.get("environment", {}).items()}


def _extra_of(lute_conn_id: str) -> JsonObject:
    try:
        extra: JsonObject = BaseHook.get_connection(lute_conn_id).extra_dejson
    except AirflowNotFoundException:
        if lute_conn_id != DEFAULT:
            raise
        return {}
    return extra
