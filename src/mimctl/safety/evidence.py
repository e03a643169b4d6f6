"""How far the samples of this cycle may be believed: ages, qualities, and what follows from a sample that is missing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mimctl.model.forecast import LoadForecast
from mimctl.model.layout import BoolArray, ComplexArray, FloatArray, SiteLayout, joined
from mimctl.model.sample import BAD, GOOD
from mimctl.model.state import NodeState, SiteState
from mimctl.safety.ratings import Ratings
from mimctl.safety.settings import SafetySettings


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What is known at one decision instant.

    Args:
        max_age_s, release_age_s: the two limits of data age [s].
        mim_max_age_s, mim_release_age_s: (M,) the same for the MIMs' own data, wider where a medium reports seldom [s].
        node_age_s, mim_age_s: (N,), (M,) inf where never sampled or dated into the future [s].
        node_usable, mim_usable: (N,), (M,) fresh and not BAD.
        node_good, mim_good: (N,), (M,) fresh and GOOD.
        flow_known: (N,) the forecast covers the node and its meter is good, or its flow is known within a margin; without a
            meter, its region's meter is good.
        gross_va: (N, 3) forecast load of each node and everything below, the MIMs taken out [VA].
        backwards: (N,) that load would feed back, which no load here does: the meter is wrong, or something moved it deceives.
        margin_va: (N, 3) how far the flows of nodes may be off that are estimated, or that other readings contradict [VA].
        blind: (N,) the flow is not known and some way down from the node has no usable meter either: no figure can be held
            against the setpoints that stand.
        voltage_pu: (N, 3) measured phase voltage / nominal, NaN where unknown; an estimate proves no bus alive.
        port_voltage_pu: (K,) voltage / nominal that the MIMs themselves measure, NaN where unknown.
        output_va: (K,) measured output of the ports, NaN where unknown [VA]; seen: (K,) where it is known.
        load_va: (N, 3) forecast own loads, zero where the forecast is silent or not finite [VA].
    """

    max_age_s: float
    release_age_s: float
    mim_max_age_s: FloatArray
    mim_release_age_s: FloatArray
    node_age_s: FloatArray
    mim_age_s: FloatArray
    node_usable: BoolArray
    mim_usable: BoolArray
    node_good: BoolArray
    mim_good: BoolArray
    flow_known: BoolArray
    gross_va: ComplexArray
    backwards: BoolArray
    margin_va: FloatArray
    blind: BoolArray
    voltage_pu: FloatArray
    port_voltage_pu: FloatArray
    output_va: ComplexArray
    seen: BoolArray
    load_va: ComplexArray


def weigh(ratings: Ratings, settings: SafetySettings, state: SiteState, forecast: LoadForecast, now_s: float) -> Evidence:
    """Judge the samples of one image at `now_s` (monotonic)."""
    layout = ratings.layout
    control = layout.site.control
    limit_s = control.max_data_age_s if settings.max_data_age_s is None else settings.max_data_age_s
    node_age_s = _age_s(state.nodes.taken_at_s, now_s, settings.future_s)
    mim_age_s = _age_s(state.mims.taken_at_s, now_s, settings.future_s)
    mim_limit_s = np.maximum(limit_s, ratings.report_age_s)
    node_fresh, mim_fresh = node_age_s <= limit_s, mim_age_s <= mim_limit_s
    node_usable = node_fresh & (state.nodes.quality > BAD)
    mim_usable = mim_fresh & (state.mims.quality > BAD)
    node_good = node_fresh & (state.nodes.quality >= GOOD)
    load_va = joined(forecast.load_w, forecast.load_var)
    finite = np.isfinite(load_va)
    margin_va, vouched = _margin(ratings, state.nodes, node_usable, settings.margin_share)
    flow_known = forecast.covered & (node_good | vouched | ~ratings.regions.metered)
    if not finite.all():
        load_va = np.where(finite, load_va, 0.0)
        flow_known &= finite.all(axis=1)
    if len(ratings.regions.nodes):
        tops = ratings.regions.tops
        # the room that unmetered nodes keep is worked out of readings: it has no margin for an estimate
        flow_known[ratings.regions.nodes] &= flow_known[tops] & forecast.known[tops] & node_good[tops]
    heard = node_usable if state.nodes.estimated is None else node_usable & ~state.nodes.estimated
    voltage_pu = np.where(heard[:, None], state.nodes.voltage_ln_v / layout.voltage_ln_v[:, None], np.nan)
    output_va, port_usable = joined(state.ports.inject_w, state.ports.inject_var), mim_usable[layout.port_mim]
    seen = port_usable & np.isfinite(output_va)
    if not seen.all():
        output_va = np.where(seen, output_va, np.nan)
    gross_va = ratings.operators.flow(load_va)
    return Evidence(
        max_age_s=limit_s,
        release_age_s=settings.release_age_factor * limit_s,
        mim_max_age_s=mim_limit_s,
        mim_release_age_s=np.maximum(settings.release_age_factor * limit_s, mim_limit_s),
        node_age_s=node_age_s,
        mim_age_s=mim_age_s,
        node_usable=node_usable,
        mim_usable=mim_usable,
        node_good=node_good,
        mim_good=mim_fresh & (state.mims.quality >= GOOD),
        flow_known=flow_known,
        gross_va=gross_va,
        backwards=_backwards(ratings, settings, state, node_usable, gross_va, output_va),
        margin_va=margin_va,
        blind=~flow_known if flow_known.all() else ~flow_known & _unseen_down(layout, node_usable),
        voltage_pu=voltage_pu,
        port_voltage_pu=np.where(port_usable, state.ports.voltage_v / layout.port_voltage_v, np.nan),
        output_va=output_va,
        seen=seen,
        load_va=load_va,
    )


def _margin(ratings: Ratings, nodes: NodeState, usable: BoolArray, share: float) -> tuple[FloatArray, BoolArray]:
    """(N, 3) margins [VA]; (N,) nodes whose flow is known within a margin that is small beside their limit."""
    margin_va, layout = nodes.margin_va(), ratings.layout
    if margin_va is None:
        return ratings.no_margin_va, np.zeros(len(usable), dtype=np.bool_)
    largest_a = margin_va.max(axis=1) / layout.voltage_ln_v
    vouched: BoolArray = usable & (largest_a > 0) & (largest_a <= share * layout.limit_a)
    return np.where(vouched[:, None], margin_va, 0.0), vouched


def _backwards(
    ratings: Ratings, settings: SafetySettings, state: SiteState, usable: BoolArray, gross_va: ComplexArray, output_va: ComplexArray
) -> BoolArray:
    """(N,) on some phase the load feeds back, by forecast and by the latest samples alike, more than meters are off.

    Current transformers that look the other way, or sit on another phase, turn the loop round: what helps looks as if it harmed.
    """
    layout = ratings.layout
    least_w = -settings.backwards_share * ratings.limit_va
    suspect: BoolArray = (gross_va.real < least_w) & usable[:, None]
    if layout.site.control.loads_feed_back or not suspect.any():
        return np.zeros(len(usable), dtype=np.bool_)
    behind_w = ratings.operators.behind(np.nan_to_num(output_va)).real
    unheard = (ratings.port_flow_size @ np.isnan(output_va).astype(np.float64)).reshape(-1, 3) > 0
    measured_w = np.where(unheard, gross_va.real, state.nodes.import_w + behind_w)
    found: BoolArray = suspect & (measured_w < least_w)
    return np.asarray(found.any(axis=1))


def _unseen_down(layout: SiteLayout, usable: BoolArray) -> BoolArray:
    """(N,) some way from the node down to its end meets no usable meter, its own included."""
    children, unseen_child = np.zeros(len(usable), dtype=np.int64), np.zeros(len(usable), dtype=np.bool_)
    inner = layout.parent[layout.parent >= 0]
    np.add.at(children, inner, 1)
    for n in reversed(range(len(usable))):
        unseen = not usable[n] and (children[n] == 0 or bool(unseen_child[n]))
        unseen_child[n] = unseen
        if unseen and layout.parent[n] >= 0:
            unseen_child[layout.parent[n]] = True
    return unseen_child


def _age_s(taken_at_s: FloatArray, now_s: float, future_s: float) -> FloatArray:
    """Ages; a sample that was never taken, or comes from the future, is infinitely old."""
    age_s = now_s - taken_at_s
    return np.where(age_s >= -future_s, age_s, np.inf)
