from typing import Annotated

from lute import Executor, Positional, TemplateConfig, ThirdPartyParameters


class ShowParameters(ThirdPartyParameters):
    executable: str = "cat"
    file: Annotated[str, Positional()] = "shown.cfg"
    lute_template_cfg: TemplateConfig = TemplateConfig(template_name="show.cfg", output_path="shown.cfg")


Shower = Executor("Show")
