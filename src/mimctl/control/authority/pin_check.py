"""Whether a MIM could ever hold a setpoint that somebody wants of it: known from its ratings, before anybody waits for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mimctl.balance.pins import OFF_BALANCE, PinnedMim, neutrals_of, reach
from mimctl.grid.losses import ConversionLosses
from mimctl.model.errors import UserError
from mimctl.model.layout import SiteLayout
from mimctl.model.site import Site


def check_holdable(site: Site, name: str, wanted: Sequence[complex | None]) -> None:
    """Refuse what the rest of the MIM cannot balance, whatever the load.

    Args:
        name: id of the MIM.
        wanted: one for each port, None = left to the others' needs [VA].

    Raises:
        UserError: with how much of it would do.
    """
    mims = tuple(mim for mim in site.mims if mim.id == name)
    layout = SiteLayout(replace(site, mims=mims, batteries=tuple(b for b in site.batteries if b.mim == name)))
    wanted_va = np.array([np.nan if power is None else power for power in wanted], dtype=np.complex128)
    known_va = np.nan_to_num(wanted_va)
    given_w = -float(ConversionLosses(layout).watts(known_va)[0])
    if not np.isnan(wanted_va).any() and not layout.batteries:
        _check_sum(layout, float(known_va.real.sum()), given_w)
    neutral = neutrals_of(layout, 0)
    charge_w, discharge_w = (float(limit_w.sum()) for limit_w in layout.battery_limits_w)
    spread_w = OFF_BALANCE * float(layout.port_rating_va.sum()) if not np.isnan(wanted_va).any() else 0.0
    share = reach(
        PinnedMim(
            start_va=np.zeros_like(known_va),
            wanted_va=wanted_va,
            radius_va=layout.port_rating_va,
            step_va=np.full(len(known_va), np.inf),
            neutral_per_va=neutral,
            neutral_a=np.full(len(neutral), layout.mim_neutral_rating_a[0]),
            sum_w=(given_w - charge_w - spread_w, discharge_w + spread_w),
        )
    )
    if not share >= 1.0:
        raise UserError(_too_much(layout, wanted, 0.0 if np.isnan(share) else share))


def _check_sum(layout: SiteLayout, sum_w: float, given_w: float) -> None:
    mim = layout.mims[0]
    if abs(sum_w - given_w) <= OFF_BALANCE * float(layout.port_rating_va.sum()):
        return
    count = len(mim.ports)
    ports = "its port must give" if count == 1 else f"its {count} ports must sum to"
    losses = f"{given_w:.0f} W, its losses" if given_w < 0 else "0 W"
    free = "" if count == 1 else "; leave one port out: it takes what the others need"
    raise UserError(f"{mim.id} has no battery: {ports} {losses}, not {sum_w:.0f} W{free}")


def _too_much(layout: SiteLayout, wanted: Sequence[complex | None], share: float) -> str:
    mim, neutral_a = layout.mims[0], float(layout.mim_neutral_rating_a[0])
    given = ((n, share * power) for n, power in enumerate(wanted, 1) if power is not None)
    most = ", ".join(f"{power.real:.0f} W {power.imag:+.0f} var at port {n}" for n, power in given)
    neutral = [f"its neutral of {neutral_a:.1f} A"] if np.isfinite(neutral_a) else []
    rest = [*(["its other ports"] if None in wanted else []), *neutral]
    permit = "permits" if rest == neutral else "permit"
    pct = math.floor(100 * share)
    return f"{mim.id} cannot hold that: {' and '.join(rest) or 'its ratings'} {permit} {pct} % of it at most ({most})"
