"""Which of the leases in force have no effect for now, and whose word stands above them."""

from __future__ import annotations

from collections.abc import Sequence

from mimctl.control.authority.scopes import Scopes
from mimctl.model.lease import Action, Cap, Lease, LeaseSource, LockOut, Pause, Setpoint, Stop

#: these keep everybody from setting a MIM
_BARS = (Stop, LockOut, Pause)


def barring(
    leases: Sequence[Lease],
    scopes: Scopes,
    mim: str,
    source: LeaseSource = LeaseSource.OPTIMISER,
    kinds: tuple[type[Action], ...] = _BARS,
) -> Lease | None:
    """The greatest lease, from this source up, that keeps anybody from setting a MIM; None = nothing does."""
    found = [
        lease
        for lease in leases
        if lease.source >= source
        and isinstance(lease.action, kinds)
        and (isinstance(lease.action, Stop) or mim in scopes.mims(lease.scope))
    ]
    return max(found, key=lambda lease: lease.source, default=None)


def overruled_by(lease: Lease, leases: Sequence[Lease], scopes: Scopes) -> Lease | None:
    """The lease that leaves another without effect, None = it has some.

    What commands a MIM gives way to whoever bars it, a setpoint also to one of a greater source. A cap or a pause has nothing to
    act on where every MIM that it reaches is stopped or locked out. A lock-out stands under a stop: it is there when that ends.
    """
    if isinstance(lease.action, Stop | LockOut):
        return None
    if isinstance(lease.action, Cap | Pause):
        found = [barring(leases, scopes, mim, kinds=(Stop, LockOut)) for mim in sorted(scopes.mims(lease.scope))]
        every = [bar for bar in found if bar is not None]
        return max(every, key=lambda bar: bar.source) if every and len(every) == len(found) else None
    bar = barring(leases, scopes, lease.scope, lease.source)
    if bar is not None or not isinstance(lease.action, Setpoint):
        return bar
    rivals = (o for o in leases if isinstance(o.action, Setpoint) and o.scope == lease.scope and o.source > lease.source)
    return max(rivals, key=lambda rival: rival.source, default=None)
