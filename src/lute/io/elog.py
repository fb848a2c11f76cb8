"""The door to the functions of the eLog in `lute.publish`."""

from lute.publish.elog import get_elog_params_by_run as get_elog_params_by_run
from lute.publish.elog import get_elog_runs_by_tag as get_elog_runs_by_tag
from lute.publish.elog import get_elog_workflows as get_elog_workflows
from lute.publish.elog import post_elog_message as post_elog_message
from lute.publish.elog import post_elog_run_status as post_elog_run_status
from lute.publish.elog import post_elog_run_table as post_elog_run_table
from lute.publish.elog import post_elog_workflow as post_elog_workflow

__all__ = [
    "get_elog_params_by_run",
    "get_elog_runs_by_tag",
    "get_elog_workflows",
    "post_elog_message",
    "post_elog_run_status",
    "post_elog_run_table",
    "post_elog_workflow",
]
