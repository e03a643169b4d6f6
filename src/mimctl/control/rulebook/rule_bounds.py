"""What rules that need no memory take from the bounds of a cycle: limits, reserves, ramps, locks, harmonics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mimctl.control.narrow import Situation
from mimctl.control.rulebook.rule_places import Reach
from mimctl.grid.losses import ConversionLosses
from mimctl.grid.tree import TreeOperators
from mimctl.model.bounds import Bounds, HarmonicBounds
from mimctl.model.forecast import LoadForecast
from mimctl.model.layout import BoolArray, FloatArray, IntArray, SiteLayout, frozen
from mimctl.model.rules import HarmonicRule, LimitRule, LockRule, RampRule, ReserveRule
from mimctl.model.sample import Quality

#: room over the mean of the phases for losses, and for the margin that plans keep from limits
ABOVE_MEAN = 1.06
_FULL_PCT = 100.0
#: of a head's limit: less than that of backfeed may be a meter's noise at no load
_NOISE = 0.005
#: an influence below this is rounding of a zero
_NEGLIGIBLE = 1e-9


def attainable_a(operators: TreeOperators, forecast: LoadForecast) -> FloatArray:
    """(N,) a limit for the phases of each node that balanced load and the MIMs' losses fit into; NaN = not known [A].

    Whoever moves power from phase to phase can bring no node below the mean of its phases. A limit below that would keep every
    phase from taking anything over from another: nothing would be balanced at all.
    """
    layout = operators.layout
    flow_va = operators.flow(np.nan_to_num(forecast.load_w) + 1j * np.nan_to_num(forecast.load_var))
    phases = np.maximum(layout.phase_present.sum(axis=1), 1)
    mean_a = np.abs(flow_va.sum(axis=1)) / phases / layout.voltage_ln_v
    return np.where(forecast.covered, ABOVE_MEAN * mean_a, np.nan)


def most_a(rule: LimitRule, nodes: IntArray, layout: SiteLayout) -> FloatArray:
    """What a rule leaves to each phase of these nodes [A]; inf = it says nothing of that."""
    found = np.full(len(nodes), np.inf)
    if rule.max_a is not None:
        found = np.minimum(found, rule.max_a)
    if rule.max_pct is not None:
        found = np.minimum(found, rule.max_pct / 100 * layout.rating_a[nodes])
    if rule.max_import_w is not None:
        found = np.minimum(found, rule.max_import_w / layout.voltage_ln_v[nodes])
    return found


def limited(rule: LimitRule, where: Reach, bounds: Bounds, layout: SiteLayout, least_a: FloatArray) -> Bounds:
    """Less at the nodes of the place; a least import where they are heads of the zone.

    Args:
        least_a: (N,) of `attainable_a`: the phases are not held below it.
    """
    nodes = where.nodes
    phase_a, neutral_a, least_w = bounds.node_limit_a.copy(), bounds.node_neutral_limit_a, bounds.head_min_import_w
    held_a = np.fmax(most_a(rule, nodes, layout), least_a[nodes])
    phase_a[nodes] = np.minimum(phase_a[nodes], held_a[:, None])
    if rule.max_neutral_a is not None:
        neutral_a = neutral_a.copy()
        neutral_a[nodes] = np.minimum(neutral_a[nodes], rule.max_neutral_a)
    if rule.min_import_w is not None:
        least_w = np.where(np.isin(layout.guarded, nodes), np.maximum(least_w, rule.min_import_w), least_w)
    return replace(
        bounds,
        node_limit_a=frozen(phase_a),
        node_neutral_limit_a=frozen(neutral_a),
        head_min_import_w=frozen(np.asarray(least_w)),
    )


def unattainable(rule: LimitRule, where: Reach, layout: SiteLayout, least_a: FloatArray) -> list[tuple[str, str]]:
    """(node, sentence) where a limit is below what the load takes even when it is spread over the phases: no MIM can keep it."""
    found = []
    for node, asked_a in zip(where.nodes, most_a(rule, where.nodes, layout), strict=True):
        if least_a[node] > asked_a:
            name = layout.nodes[node].id
            spread = f"its load takes {least_a[node] / ABOVE_MEAN:.1f} A however it is spread over the phases"
            found.append((name, f"{name} cannot be kept at {asked_a:.1f} A a phase (rule {rule.id}): {spread}; move load"))
    return found


def reserved(rule: ReserveRule, where: Reach, bounds: Bounds, situation: Situation) -> Bounds:
    """A share of the ratings, and the charge below the reserve. Spare MIMs need memory: `rule_spares.py`."""
    layout = situation.state.layout
    if rule.rating_pct > 0:
        left = 1 - rule.rating_pct / 100
        ports = where.mims[layout.port_mim]
        port_va = np.where(ports, np.minimum(bounds.port_s_max_va, left * layout.port_rating_va), bounds.port_s_max_va)
        # all ports scaled alike scale their neutral: so the set of setpoints shrinks as a whole
        neutral_a = np.where(where.mims, left * _finite(layout.mim_neutral_rating_a), np.inf)
        bounds = replace(
            bounds,
            port_s_max_va=frozen(port_va),
            mim_neutral_max_a=frozen(np.minimum(bounds.mim_neutral_max_a, neutral_a)),
        )
    if rule.soc_pct is not None and len(layout.batteries):
        soc, known = situation.state.batteries.soc_pct, situation.state.batteries.quality > Quality.BAD
        spent: BoolArray = np.zeros(len(layout.mims), dtype=np.bool_)
        spent[layout.battery_mim[~(known & (soc > rule.soc_pct))]] = True
        idle_w = -ConversionLosses(layout).watts(np.nan_to_num(situation.setpoint_va))
        dc_w = np.where(spent & where.mims, np.minimum(bounds.mim_dc_w, idle_w), bounds.mim_dc_w)
        bounds = replace(bounds, mim_dc_w=frozen(dc_w))
    return bounds


def _finite(values: FloatArray) -> FloatArray:
    """Zero times infinity is no limit, not no number."""
    return np.where(np.isfinite(values), values, np.finfo(np.float64).max)


def ramp_steps_va(rule: RampRule, where: Reach, operators: TreeOperators, every_s: FloatArray) -> FloatArray:
    """(K,) largest steps: of each port of the MIMs chosen; at nodes, of all that stands below them together [VA].

    What a node may move is dealt out to the ports below by their ratings: no port counts on another to stand still.

    Args:
        every_s: (K,) time until each port is commanded again [s].
    """
    layout = operators.layout
    step_va = np.where(where.chosen[layout.port_mim], _rate_va(rule, layout.port_voltage_v) * every_s, np.inf)
    for node in where.named:
        reached = np.asarray(abs(operators.port_flow[3 * node : 3 * node + 3]).toarray())
        together = (reached @ layout.port_rating_va).max(initial=0.0)
        if together <= _NEGLIGIBLE:
            continue
        most_va = _rate_va(rule, layout.voltage_ln_v[[node]])[0]
        share_va = most_va * every_s * layout.port_rating_va / together
        step_va = np.where((reached > _NEGLIGIBLE).any(axis=0), np.minimum(step_va, share_va), step_va)
    return np.asarray(frozen(step_va))


def in_danger(situation: Situation) -> BoolArray:
    """(K,) ports at or below a breaker that is over its limit for hours, or a head that is fed back into: nothing holds them up."""
    state, layout = situation.state, situation.state.layout
    over: BoolArray = np.asarray(np.nan_to_num(situation.report.loading_pct) > _FULL_PCT)
    guarded = layout.guarded
    noise_w = _NOISE * layout.voltage_ln_v[guarded] * layout.limit_a[guarded]
    over[guarded] |= (state.nodes.import_w[guarded] < (layout.head_min_import_w - noise_w)[:, None]).any(axis=1)
    return np.asarray(layout.below[over][:, layout.port_node].any(axis=0))


def _rate_va(rule: RampRule, voltage_v: FloatArray) -> FloatArray:
    """[VA/s] where the voltages are so."""
    rate = np.full(len(voltage_v), np.inf)
    if rule.max_w_per_s is not None:
        rate = np.minimum(rate, rule.max_w_per_s)
    if rule.max_a_per_s is not None:
        rate = np.minimum(rate, rule.max_a_per_s * voltage_v)
    return rate


def resting(mims: BoolArray, bounds: Bounds) -> Bounds:
    """These MIMs (M,) are given back."""
    released = np.zeros_like(mims) if bounds.mim_release is None else bounds.mim_release
    return replace(bounds, mim_enabled=frozen(bounds.mim_enabled & ~mims), mim_release=frozen(released | mims))


def locked(_rule: LockRule, where: Reach, bounds: Bounds) -> Bounds:
    """Given back, and kept from whoever would set them."""
    before = np.zeros_like(where.mims) if bounds.mim_locked is None else bounds.mim_locked
    return replace(resting(where.mims, bounds), mim_locked=frozen(before | where.mims))


def harmonics_free(layout: SiteLayout) -> HarmonicBounds:
    """What no rule says anything about."""
    ports, nodes = len(layout.ports), len(layout.nodes)
    unlimited = frozen(np.full(nodes, np.nan))
    return HarmonicBounds(frozen(np.ones(ports)), frozen(np.ones(ports)), unlimited, unlimited)


def harmonics_less(rule: HarmonicRule, where: Reach, terms: HarmonicBounds, layout: SiteLayout) -> HarmonicBounds:
    """Smaller shares and reserves of the filters reached, tighter limits at the nodes meant."""
    ports = where.mims[layout.port_mim]
    reserve = 100.0 if rule.reserve_pct is None else rule.reserve_pct
    return HarmonicBounds(
        share_max=_at(ports, terms.share_max, rule.max_share_pct / 100),
        reserve_max=_at(ports, terms.reserve_max, reserve / 100),
        thd_v_pct=_tighter(where, terms.thd_v_pct, rule.thd_v_pct),
        tdd_pct=_tighter(where, terms.tdd_pct, rule.tdd_pct),
    )


def _at(ports: BoolArray, before: FloatArray, most: float) -> FloatArray:
    return np.asarray(frozen(np.where(ports, np.minimum(before, most), before)))


def _tighter(where: Reach, before: FloatArray, limit_pct: float | None) -> FloatArray:
    if limit_pct is None:
        return before
    after = before.copy()
    after[where.nodes] = np.fmin(after[where.nodes], limit_pct)
    return np.asarray(frozen(after))
