"""Figures of devices, cables and links that the format allows and no data centre has."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mimctl.config.draft import DEFAULT_CYCLE_S, Draft
from mimctl.config.schema_devices import MimItem
from mimctl.model.latency import LatencyClass
from mimctl.model.problem import Problem, warning

#: from full to empty, or the other way: faster than any battery for power quality
_BATTERY_MIN = 3.0
#: conversion losses at the rating; two-stage converters lose some 5 %
_LOSS_SHARE = 0.25
#: of the current of its largest port a MIM's neutral carries at least so much; share of its rating that it may use
_NEUTRAL_SHARE, _AUTHORITY_PCT = 0.05, 1.0
#: time from zero to the rating
_RAMP_S = 1800.0
#: a wired MIM that nobody talks to goes on with its last setpoint for so long
_VALIDITY_S = 300.0
#: of the breaker, common codes have 0.8 for hours and rarely less than half for the neutral
_CONTINUOUS, _NEUTRAL_OF_BREAKER = 0.3, 0.1
#: cycles and seconds that a failed solve may stand on the last plan; what is older than this is no measurement of now
_PATIENT_CYCLES, _PATIENT_S, _OLD_S = 10, 60.0, 900.0
#: voltage lost on the way to a breaker at its rating
_DROP_SHARE = 0.2


def check_batteries(draft: Draft) -> Iterator[Problem]:
    """`plausible.battery`: full or empty within moments."""
    for path, battery in draft.batteries():
        most_w = max(battery.max_charge_w, battery.max_discharge_w)
        minutes = 60 * battery.capacity_wh / most_w
        if minutes < _BATTERY_MIN:
            text = f"{battery.capacity_wh:g} Wh last {60 * minutes:.2g} s at {most_w:g} W: is the unit right?"
            yield warning("plausible.battery", f"{path}.capacity_wh", text)


def check_mims(draft: Draft) -> Iterator[Problem]:
    """`plausible.mim`: losses, neutral, ramp, authority or validity by which it could hardly work."""
    ratings: dict[str, list[tuple[float, float]]] = {}
    for _, mim, port in draft.ports():
        supply = draft.tree.supply.get(port.node)
        if supply is not None:
            volts = port.connection.nominal_voltage_v(supply.voltage_ln_v)
            ratings.setdefault(mim.id, []).append((port.rating_va, port.rating_va / volts))
    for path, mim in draft.mims():
        if mim.id in ratings:
            for key, text in _odd(mim, ratings[mim.id]):
                yield warning("plausible.mim", f"{path}.{key}", text)


def _odd(mim: MimItem, ports: list[tuple[float, float]]) -> Iterator[tuple[str, str]]:
    """What is odd about a MIM, its ports given by rating and current [VA, A]."""
    sizes = [va for va, _ in ports]
    total_va, largest_a, loss = sum(sizes), max(a for _, a in ports), mim.losses
    loss_w = loss.standby_w + loss.linear_pct / 100 * total_va + loss.quadratic_per_va * sum(va * va for va in sizes)
    if loss_w > _LOSS_SHARE * total_va:
        yield "losses", f"it would lose {loss_w:.0f} W of {total_va:.0f} VA at its rating: are the units right?"
    if mim.neutral_rating_a is not None and mim.neutral_rating_a < _NEUTRAL_SHARE * largest_a:
        text = f"{mim.neutral_rating_a:g} A for ports of {largest_a:.3g} A: it could hardly move anything between phases"
        yield "neutral_rating_a", f"{text}; is the unit right?"
    if mim.ramp_w_per_s is not None and max(sizes) / mim.ramp_w_per_s > _RAMP_S:
        minutes = max(sizes) / mim.ramp_w_per_s / 60
        yield "ramp_w_per_s", f"{mim.ramp_w_per_s:g} W/s take {minutes:.0f} min to a port's rating: is the unit right?"
    if mim.authority_pct is not None and mim.authority_pct < _AUTHORITY_PCT:
        yield (
            "authority_pct",
            f"with {mim.authority_pct:g} % of its rating it does next to nothing: is it a share where % is meant?",
        )
    if mim.validity_s > _VALIDITY_S and mim.latency.kind is LatencyClass.FAST:
        text = f"when mimctl is gone it goes on with its last setpoint for {mim.validity_s / 60:.0f} min, whatever the load does"
        yield "validity_s", f"{text}; a wired MIM is refreshed in each cycle: a few tens of seconds will do"


def check_nodes(draft: Draft) -> Iterator[Problem]:
    """`plausible.node`: a continuous factor or a neutral by which a breaker could hardly be used."""
    for path, node in draft.nodes():
        if node.continuous_factor < _CONTINUOUS:
            text = f"only {100 * node.continuous_factor:.2g} % of the breaker for hours: codes have 80 % or so; is it meant?"
            yield warning("plausible.node", f"{path}.continuous_factor", text)
        if node.neutral_rating_a is not None and node.neutral_rating_a < _NEUTRAL_OF_BREAKER * node.rating_a:
            text = f"a neutral of {node.neutral_rating_a:g} A under a breaker of {node.rating_a:g} A: is the unit right?"
            yield warning("plausible.node", f"{path}.neutral_rating_a", text)


def check_cables(draft: Draft) -> Iterator[Problem]:
    """`plausible.cable`: a cable on which the voltage is lost before the load."""
    for path, node in draft.nodes():
        cable, supply = node.cable, draft.tree.supply.get(node.id)
        if cable is None or supply is None or node.transformer is not None:
            continue
        per_km, length_m = (cable.r_per_km_ohm or 0.0, cable.x_per_km_ohm or 0.0), cable.length_m or 0.0
        r_ohm = (cable.r_ohm or 0.0) + per_km[0] * length_m / 1000
        x_ohm = (cable.x_ohm or 0.0) + per_km[1] * length_m / 1000
        drop = node.rating_a * abs(complex(r_ohm, x_ohm)) / supply.voltage_ln_v
        if drop > _DROP_SHARE and node.rating_a != float("inf"):
            lost = f"{100 * drop:.0f} % of the voltage" if drop < 1 else "more than all of the voltage"
            text = f"{abs(complex(r_ohm, x_ohm)):.3g} ohm take {lost} at {node.rating_a:g} A: is the unit right?"
            yield warning("plausible.cable", f"{path}.cable", text)


def check_timeouts(draft: Draft) -> Iterator[Problem]:
    """`link.timeout_long`: one silent device keeps the others behind the link waiting for more than a cycle."""
    cycle_of = {zone.id: zone.cycle_s for zone in draft.file.zones}
    behind: dict[str, dict[str, float]] = {}
    places = [(meter.link, meter.id, meter.node) for _, meter in draft.meters()]
    places += [(mim.link, mim.id, port.node) for _, mim, port in draft.ports()]
    for link_id, device, node in places:
        cycle_s = cycle_of.get(draft.zone_of_node.get(node, ""), DEFAULT_CYCLE_S)
        behind.setdefault(link_id, {})[device] = cycle_s
    for path, link in draft.links():
        devices = behind.get(link.id, {})
        if link.type.is_radio or len(devices) < 2 or link.timeout_s <= min(devices.values()):
            continue
        text = (
            f"a device that does not answer keeps the {len(devices) - 1} others behind this link waiting for {link.timeout_s:g} s, "
            f"while cycles are {min(devices.values()):g} s apart: say less than a cycle"
        )
        yield warning("link.timeout_long", f"{path}.timeout_s", text)


def check_site_period(draft: Draft) -> Iterator[Problem]:
    """`control.site_period`: the site level solves more often than the zones that it tells."""
    cycle_s = min((zone.cycle_s for zone in draft.file.zones), default=DEFAULT_CYCLE_S)
    if draft.file.control.site_period_s < cycle_s:
        text = f"{draft.file.control.site_period_s:g} s is less than a zone's cycle of {cycle_s:g} s: nobody could use it; say more"
        yield warning("control.site_period", "control.site_period_s", text)


def check_patience(draft: Draft) -> Iterator[Problem]:
    """`control.patience`: a failed solve, or a measurement, that counts long after the load has changed."""
    control, zones = draft.file.control, draft.file.zones
    cycle_s = max((zone.cycle_s for zone in zones), default=DEFAULT_CYCLE_S)
    stands_s = control.hold_cycles * cycle_s
    if control.hold_cycles > _PATIENT_CYCLES and stands_s > _PATIENT_S:
        text = f"a failed solve would stand on the last plan for {stands_s:g} s, whatever the load does: say {_PATIENT_CYCLES}"
        yield warning("control.patience", "control.hold_cycles", text)
    if control.max_data_age_s > _OLD_S:
        text = f"decisions would rest on measurements {control.max_data_age_s / 60:.0f} min old: is the unit right?"
        yield warning("control.patience", "control.max_data_age_s", text)


CHECKS: tuple[Callable[[Draft], Iterator[Problem]], ...] = (
    check_batteries,
    check_mims,
    check_nodes,
    check_cables,
    check_timeouts,
    check_site_period,
    check_patience,
)
