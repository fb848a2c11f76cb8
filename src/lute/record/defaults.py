"""Which parameters of a run are not as the model has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lute.record.rows import plain
from lute.record.schema import flat_values

if TYPE_CHECKING:
    from lute.record.types import JsonObject


def defaults_of(model: Any) -> JsonObject:
    """Returns the defaults of a model's parameters, flat."""
    return flat_values(
        {
            name: plain(about.default)
            for name, about in model.model_fields.items()
            if name != "lute_config" and not about.is_required() and about.default_factory is None
        }
    )


def own_parameters(parameters: JsonObject | None) -> JsonObject:
    """Returns a run's recorded parameters without the header, flat."""
    return flat_values({name: value for name, value in (parameters or {}).items() if name != "lute_config"})


def not_default(parameters: JsonObject, model: Any) -> JsonObject:
    """Returns those of a run's recorded parameters that have no default or are not it, flat."""
    defaults = defaults_of(model)
    found = own_parameters(parameters).items()
    return {name: value for name, value in found if name not in defaults or defaults[name] != value}
