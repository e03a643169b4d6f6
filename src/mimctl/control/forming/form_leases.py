"""Leases that have a bus formed: one for each bus, and never again by themselves once something has barred them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from mimctl.model.errors import UserError
from mimctl.model.island import FormWish
from mimctl.model.layout import SiteLayout
from mimctl.model.lease import Form, Lease, LeaseSource


def refuse_second(leases: Iterable[Lease], new: Lease) -> None:
    """A bus has one former, asked for by one operator, who may prolong it.

    Raises:
        UserError: somebody has it formed already.
    """
    for lease in leases:
        renewed = (lease.scope, lease.owner) == (new.scope, new.owner)
        if isinstance(new.action, Form) and lease.action == new.action and not renewed:
            until = f"until {lease.expires_utc:%Y-%m-%d %H:%M:%S} UTC"
            text = f"{lease.scope} forms it for {lease.owner} {until} (lease {lease.id}); revoke that first"
            raise UserError(f"{new.action.bus} has one former: {text}")


def wishes(leases: Iterable[Lease], layout: SiteLayout) -> Iterator[FormWish]:
    """Who is to form what in one layout, the oldest lease first."""
    buses = {island.node: island.id for island in layout.site.islands}
    for lease in leases:
        if isinstance(lease.action, Form) and lease.action.bus in buses and lease.scope in layout.mim_index:
            yield FormWish(lease.id, lease.owner, lease.scope, buses[lease.action.bus])


def barred(leases: Iterable[Lease], bar: Callable[[str, LeaseSource], Lease | None]) -> Iterator[tuple[Lease, Lease]]:
    """Leases to form a bus, each with what keeps it from being in force: they end, and do not begin again when that is lifted."""
    for lease in leases:
        if isinstance(lease.action, Form) and (over := bar(lease.scope, lease.source)) is not None:
            yield lease, over
