"""The door to `lute.models.base`."""

from lute.base.variables import CONTROL_VARIABLES as CONTROL_VARIABLES
from lute.models.base import AnalysisHeader as AnalysisHeader
from lute.models.base import Field as Field
from lute.models.base import TaskParameters as TaskParameters
from lute.models.base import TemplateConfig as TemplateConfig
from lute.models.base import TemplateParameters as TemplateParameters
from lute.models.base import ThirdPartyParameters as ThirdPartyParameters
from lute.models.compat_v1 import root_validator as root_validator
from lute.models.compat_v1 import validator as validator

__all__ = [
    "CONTROL_VARIABLES",
    "AnalysisHeader",
    "Field",
    "TaskParameters",
    "TemplateConfig",
    "TemplateParameters",
    "ThirdPartyParameters",
    "root_validator",
    "validator",
]
