"""Leases as bounds: what several of them together leave of what a plan may do.

What takes away never contradicts anything: lock-outs, pauses and caps all hold together, the tightest decides. Only a setpoint can
contradict: another setpoint of the same MIM, a pause of it, or a cap below it. Then the greater source wins; of the same source,
the later setpoint, and the pause or cap before the setpoint. A cap at a node holds for the node whatever is set below it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from mimctl.control.authority.overrules import barring
from mimctl.control.authority.scopes import Scopes
from mimctl.model.bounds import Bounds, Restriction
from mimctl.model.layout import BoolArray, FloatArray, SiteLayout, frozen
from mimctl.model.lease import Cap, Lease, LeaseSource, LockOut, Pause, Setpoint, Stop
from mimctl.model.reason import Reason

_NOBODY = -1
#: as whom a rule of the site file locks: an operator stands above it, nobody below does
_RULES = int(LeaseSource.BMS)


def lease_bounds(bounds: Bounds, leases: Iterable[Lease], scopes: Scopes, layout: SiteLayout, usable: BoolArray) -> Bounds:
    """The bounds without what the leases take away, and with the setpoints that are wanted.

    Args:
        leases: those in force, of the whole site.
        usable: (M,) MIMs that report, follow their setpoints and are ours to command.

    Returns:
        Bounds that are nowhere wider, but for this: a MIM with a setpoint is commanded, rule or no rule, where it is usable.
    """
    here = [lease for lease in leases if _concerns(lease, scopes, layout)]
    if not here:
        return bounds
    draft = _Draft(bounds, scopes, layout)
    for lease in here:
        draft.take(lease)
    # the later one of two equals comes last in both orders, and so wins
    draft.set(sorted((lease for lease in here if isinstance(lease.action, Setpoint)), key=lambda x: x.source), usable)
    return draft.bounds()


def _concerns(lease: Lease, scopes: Scopes, layout: SiteLayout) -> bool:
    if isinstance(lease.action, Stop):
        return True
    return lease.scope in layout.node_index or bool(scopes.mims_of(layout, lease.scope).any())


class _Draft:
    """Bounds on their way from wide to narrow."""

    def __init__(self, bounds: Bounds, scopes: Scopes, layout: SiteLayout) -> None:
        ports, mims = len(layout.ports), len(layout.mims)
        self._wide, self._scopes, self._layout = bounds, scopes, layout
        self._node_limit_a, self._head_min_w = bounds.node_limit_a, bounds.head_min_import_w
        #: (M,) the greatest source that bars each MIM
        self._barred = np.full(mims, _NOBODY)
        if bounds.mim_locked is not None:
            self._barred[bounds.mim_locked] = _RULES
        #: (K,) by source
        self._caps_va: dict[int, FloatArray] = {}
        self._set_by = np.full(ports, _NOBODY)
        pinned = bounds.port_pinned_va
        self._pinned_va = np.full(ports, np.nan + 0j) if pinned is None else pinned.copy()
        self._commanded = np.zeros(mims, dtype=np.bool_)
        self._at_once = np.zeros(mims, dtype=np.bool_)
        self._has_pins = pinned is not None
        self._bars: list[Lease] = []
        self._told: list[Restriction] = []

    def take(self, lease: Lease) -> None:
        """One lease that takes away."""
        match lease.action:
            case Stop() | LockOut() | Pause():
                self._bars.append(lease)
                everybody = isinstance(lease.action, Stop)
                reached = everybody | self._scopes.mims_of(self._layout, lease.scope)
                self._barred = np.where(reached, np.maximum(self._barred, lease.source), self._barred)
            case Cap():
                self._cap(lease, lease.action)
            case _:
                return
        self._tell(lease, f"lease.{lease.kind}", str(lease))

    def _cap(self, lease: Lease, cap: Cap) -> None:
        layout = self._layout
        most_va = np.full(len(layout.ports), np.inf)
        reached = self._ports(lease.scope)
        if cap.max_va is not None:
            most_va[reached] = cap.max_va
        if cap.max_a is not None and not self._scopes.is_node(lease.scope, cap):
            most_va[reached] = np.minimum(most_va, cap.max_a * layout.port_voltage_v)[reached]
        before = self._caps_va.get(lease.source)
        self._caps_va[lease.source] = most_va if before is None else np.minimum(before, most_va)
        node = layout.node_index.get(lease.scope)
        if node is None or not self._scopes.is_node(lease.scope, cap):
            return
        if cap.max_a is not None:
            self._node_limit_a = self._node_limit_a.copy()
            self._node_limit_a[node] = np.minimum(self._node_limit_a[node], cap.max_a)
        if cap.max_export_w is not None:
            at_head = layout.guarded == node
            self._head_min_w = np.where(at_head, np.maximum(self._head_min_w, -cap.max_export_w), self._head_min_w)

    def _ports(self, scope: str) -> BoolArray:
        """(K,) ports of this layout that a scope reaches: one, those of a MIM, or at and below a node those of each MIM there."""
        layout, one = self._layout, self._scopes.port(scope)
        if one is None:
            return self._scopes.mims_of(layout, scope)[layout.port_mim]
        reached = np.zeros(len(layout.ports), dtype=np.bool_)
        reached[layout.ports_of_mim[layout.mim_index[one[0]]].start + one[1]] = True
        return reached

    def set(self, leases: Sequence[Lease], usable: BoolArray) -> None:
        """Setpoints, the lowest source first."""
        winners = {lease.scope: lease for lease in leases}
        for lease in leases:
            winner, m = winners[lease.scope], self._layout.mim_index[lease.scope]
            if winner is not lease:
                self._tell(lease, "lease.overruled", f"{lease}: gives way to the setpoint by {winner.owner} (lease {winner.id})")
            elif self._barred[m] >= lease.source:
                bar = barring(self._bars, self._scopes, lease.scope, lease.source)
                whose = bar if bar is not None else "a rule of the site file, which keeps everybody but an operator off its MIM"
                self._tell(lease, "lease.overruled", f"{lease}: gives way to {whose}")
            elif isinstance(lease.action, Setpoint):
                ports = self._layout.ports_of_mim[m]
                self._pinned_va[ports] = [np.nan if power is None else power for power in lease.action.power_va]
                self._set_by[ports] = lease.source
                self._commanded[m], self._has_pins = usable[m], True
                self._at_once[m] = True
                self._tell(lease, "lease.setpoint", str(lease))

    def bounds(self) -> Bounds:
        """What is left."""
        wide, port_mim = self._wide, self._layout.port_mim
        cap_va = np.full(len(port_mim), np.inf)
        for source, caps_va in self._caps_va.items():
            cap_va = np.where(source >= self._set_by, np.minimum(cap_va, caps_va), cap_va)
        free = (self._barred == _NOBODY) & wide.mim_enabled
        given_back = np.zeros_like(free) if wide.mim_release is None else wide.mim_release
        # with nobody else to balance, the other ports take what the MIM's own balance needs and no more
        weights = wide.weights if free.any() or not self._has_pins else frozen(np.zeros_like(wide.weights))
        with np.errstate(invalid="ignore"):  # a port without a setpoint
            size_va = np.abs(self._pinned_va)
            pinned_va = np.where(size_va > cap_va, self._pinned_va * (cap_va / np.fmax(size_va, 1e-9)), self._pinned_va)
        return replace(
            wide,
            mim_enabled=frozen(free | self._commanded),
            mim_release=frozen((given_back | (self._barred != _NOBODY)) & ~self._commanded),
            port_s_max_va=frozen(np.minimum(wide.port_s_max_va, cap_va)),
            node_limit_a=frozen(np.asarray(self._node_limit_a)),
            head_min_import_w=frozen(np.asarray(self._head_min_w)),
            weights=weights,
            port_pinned_va=frozen(pinned_va) if self._has_pins else None,
            mim_at_once=frozen(self._at_once) if self._at_once.any() else wide.mim_at_once,
            restrictions=(*wide.restrictions, *self._told),
        )

    def _tell(self, lease: Lease, code: str, text: str) -> None:
        self._told.append(Restriction(lease.scope, Reason(code, text)))
