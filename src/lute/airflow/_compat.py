"""What is used of Airflow, from where version 3 or 2 has it."""

from __future__ import annotations

try:
    from airflow.sdk import BaseHook, BaseOperator
    from airflow.sdk.exceptions import (
        AirflowException,
        AirflowFailException,
        AirflowNotFoundException,
        AirflowSkipException,
    )
except ImportError:
    try:
        from airflow.exceptions import (
            AirflowException,
            AirflowFailException,
            AirflowNotFoundException,
            AirflowSkipException,
        )
        from airflow.hooks.base import BaseHook
        from airflow.models.baseoperator import BaseOperator
    except ImportError as error:
        raise ImportError(
            f"lute.airflow works in the Python that runs Airflow 3, or 2.7 and newer, and this has none ({error})."
            " There: pip install 'lute-executor[airflow]'"
        ) from error

__all__ = [
    "AirflowException",
    "AirflowFailException",
    "AirflowNotFoundException",
    "AirflowSkipException",
    "BaseHook",
    "BaseOperator",
]
