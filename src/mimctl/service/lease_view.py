"""A lease as the service shows it: how long it still stands, and whether it has an effect now."""

from __future__ import annotations

from typing import Any

from mimctl.control.site_controller import SiteController
from mimctl.model.lease import Lease
from mimctl.model.lease_plain import lease_plain


def lease_view(controller: SiteController, lease: Lease) -> dict[str, Any]:
    """In the types that JSON has: the lease, what is left of its time, who overrules it (if anybody), why it is not met (if so)."""
    left_s = controller.leases.remaining_s(lease)
    return {
        **lease_plain(lease),
        "text": str(lease.action),
        "expires_in_s": None if left_s is None else round(left_s, 1),
        "overruled_by": _overruled_by(controller, lease),
        "not_met": next((zone.plans.unmet[lease.id] for zone in controller.zones if lease.id in zone.plans.unmet), None),
    }


def _overruled_by(controller: SiteController, lease: Lease) -> dict[str, Any] | None:
    greater = controller.leases.overruled_by(lease)
    if greater is not None:
        return {"lease": greater.id, "source": greater.source.word, "owner": greater.owner, "text": str(greater)}
    records = (zone.cycle.last for zone in controller.zones)
    told = (r.reason for record in records if record is not None for r in record.bounds.restrictions)
    found = next((why for why in told if why.code == "lease.overruled" and why.text.startswith(f"{lease}: ")), None)
    if found is None:
        return None
    return {"lease": None, "source": "rule", "owner": "the site file", "text": found.text.rpartition(": gives way to ")[2]}
