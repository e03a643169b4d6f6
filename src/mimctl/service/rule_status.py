"""Rules of the running service as plain values: what is open, what holds, what is in force."""

from __future__ import annotations

import math
from typing import Any

from mimctl.control.site_controller import SiteController


def rules_status(controller: SiteController) -> list[dict[str, Any]]:
    """One entry for each rule in each zone that it reaches, none of a zone that has not measured yet; above zones the site's."""
    words = {rule.id: str(rule) for rule in controller.site.restraints}
    zones = [(zone.id, state) for zone in controller.zones for state in zone.cycle.rules.states()]
    above = [(controller.site.id, state) for state in controller.rules_above.states()]
    return [
        {
            "id": state.id,
            "type": state.kind,
            "zone": zone,
            "where": list(state.where),
            "what": words.get(state.id, "its phases are balanced"),
            "open": state.open,
            "condition": None if state.condition is None else state.condition.value,
            "value": None if math.isnan(state.value) else round(state.value, 4),
            "in_force": state.in_force,
        }
        for zone, state in [*zones, *above]
    ]
