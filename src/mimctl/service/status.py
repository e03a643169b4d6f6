"""The running service in one dictionary of plain values: what the door, the live table and later the API show."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from mimctl.control.delays.stability import zone_margins
from mimctl.control.events import EventLog
from mimctl.control.feeds.headroom import HeadroomWatch
from mimctl.control.site_controller import SiteController
from mimctl.control.zone import ZoneController
from mimctl.model.decision import DecisionRecord
from mimctl.model.event import Event
from mimctl.model.latency import LatencyClass
from mimctl.model.layout import FloatArray
from mimctl.model.node import Node
from mimctl.model.phases import PHASES
from mimctl.model.report import SiteReport
from mimctl.model.sample import Quality
from mimctl.model.state import SiteState
from mimctl.model.transfer import TransferState
from mimctl.service.form_desk import islands_status

#: report field → key; per node one number
_NODE_FIGURES = {
    "i2_i1": "i2_i1",
    "i0_i1": "i0_i1",
    "neutral_a": "neutral_a",
    "loading_pct": "loading_pct",
    "vuf2_pct": "vuf2_pct",
    "unbalance_nema_pct": "unbalance_nema_pct",
    "vuf0_pct": "vuf0_pct",
    "concentration_pct": "concentration_pct",
}

#: these compare three phases
_OF_THREE = ("i2_i1", "i0_i1", "vuf2_pct", "unbalance_nema_pct", "vuf0_pct", "concentration_pct")

#: likewise, of reports with detail
_DETAILS = ("lvur_nema_pct", "pvur_ieee112_pct", "pvur_ieee936_pct", "thd_v_limit_pct", "tdd_limit_pct")

#: a zone whose last complete cycle is older than so many periods is failing
_OVERDUE_PERIODS = 3.0


def _number(value: float, digits: int = 4) -> float | None:
    return None if math.isnan(value) else round(float(value), digits)


def _row(values: FloatArray) -> list[float | None]:
    return [_number(v) for v in values]


def node_status(report: SiteReport, i: int, node: Node) -> dict[str, Any]:
    """One node as last measured; unknown is None, and so is whatever its missing conductors would carry."""
    present = [phase in node.phases for phase in PHASES]
    figures: dict[str, Any] = {key: _number(getattr(report, name)[i]) for name, key in _NODE_FIGURES.items()}
    if not all(present):
        figures |= dict.fromkeys(_OF_THREE)
    for name in _DETAILS:
        values = getattr(report, name)
        figures[name] = None if values is None else _number(values[i])
    figures["phases"] = [phase.value for phase in node.phases]
    figures["current_a"] = [a if there else None for a, there in zip(_row(report.current_a[i]), present, strict=True)]
    for name in ("thd_v_pct", "thd_i_pct", "tdd_pct", "failover_headroom_a"):
        figures[name] = _row(getattr(report, name)[i])
    figures["headroom_firm_a"] = _row(report.headroom_firm_a[i])
    figures["headroom_n1_a"] = _row(report.headroom_n1_a[i])
    figures["headroom_assisted_a"] = _row(report.headroom_assisted_a[i])
    return figures


def node_sources(state: SiteState, i: int) -> dict[str, Any]:
    """Where one node's values come from, and their standard deviations; unknown is None."""
    nodes = state.nodes
    figures: dict[str, Any] = {"source": nodes.source(i)}
    for name in ("sigma_w", "sigma_var", "sigma_v"):
        sigma = getattr(nodes, name)
        figures[name] = [None] * 3 if sigma is None else [_number(v, 1) for v in sigma[i]]
    return figures


def node_reliance(watch: HeadroomWatch, i: int) -> dict[str, Any]:
    """How far one node rests on MIMs: how much it would be over without them, and for how long it would have been today."""
    meter = watch.reliance
    return {"firm_over_a": _row(meter.firm_over_a[i]), "relied_on_min": round(float(meter.relied_on_s[i]) / 60, 1)}


def load_shifts(watch: HeadroomWatch) -> list[dict[str, Any]]:
    """What to move where MIMs cannot take an overload off."""
    return [asdict(shift) | {"text": str(shift)} for shift in watch.shifts]


def transfers(state: SiteState) -> dict[str, Any]:
    """What the transfer devices said last, by id."""
    image = state.transfers
    if image is None:
        return {}
    return {
        device.id: {
            "kind": device.kind.value,
            "node": device.node,
            "state": TransferState(int(image.state[t])).word,
            "fixed": device.fixed is not None,
            "quality": Quality(int(image.quality[t])).name.lower(),
            "age_s": None if device.fixed is not None else _number(state.now_s - image.taken_at_s[t], 3),
            "frequency_hz": _number(image.frequency_hz[t]),
        }
        for t, device in enumerate(state.layout.site.transfers)
    }


def event_status(event: Event) -> dict[str, Any]:
    return {
        "code": event.code,
        "severity": event.severity.value,
        "where": event.where,
        "text": event.text,
        "since": event.since.isoformat(timespec="seconds"),
        "cleared": event.cleared and event.cleared.isoformat(timespec="seconds"),
    }


def zone_status(zone: ZoneController, *, dry_run: bool = False) -> dict[str, Any]:
    """One zone: is it controlling, how long do its cycles take, what does it see."""
    record, loop, stopped = zone.cycle.last, zone.loop, zone.cycle.leases.stopped
    states = zone.cycle.rules.states()
    status: dict[str, Any] = {"cycle_s": loop.period_s, "cycles": loop.ticks, "skipped": loop.skipped, "errors": loop.errors}
    status["balance_rule"] = next((rule.id for rule in states if rule.kind == "balance" and rule.in_force), None)
    if record is None:
        begun = "failing" if loop.errors else "starting"
        return status | {"state": "stopped" if stopped else begun, "devices": _devices(zone, None), "nodes": {}, "mims": {}}
    report = zone.cycle.detailed_report() or record.report
    durations = dict(record.durations_s)
    return status | {
        "state": "stopped" if stopped else _zone_state(zone, record, dry_run=dry_run),
        "record_age_s": round(zone.clock.monotonic_s() - record.state.now_s, 3),
        "cycle_ms": round(1000 * sum(durations.values()), 2),
        "stages_ms": {name: round(1000 * seconds, 3) for name, seconds in durations.items()},
        "latency_s": _latency(zone),
        "remembered": _remembered(zone),
        "loops": _loops(zone),
        "objective": _number(record.report.objective, 9),
        "refused": _refused(zone),
        "plan": {"status": record.plan.status.value, "iterations": record.plan.iterations},
        "devices": _devices(zone, record.state),
        "bad_nodes": record.state.bad_nodes(),
        "nodes": {
            n.id: node_status(report, i, n) | node_sources(record.state, i) | node_reliance(zone.headroom, i)
            for i, n in enumerate(zone.layout.nodes)
        },
        "load_shift": load_shifts(zone.headroom),
        "transfers": transfers(record.state),
        **({"islands": islands_status(zone)} if zone.layout.site.islands else {}),
        "mims": _mims(zone, record.state.mims.quality, record.state.ports.inject_w),
    }


def _refused(zone: ZoneController) -> dict[str, Any]:
    """MIMs whose plans the judge refuses again and again."""
    return {
        mim: {"cycles": s.count, "since": s.since.isoformat(timespec="seconds"), "code": s.why.code, "text": s.why.text}
        for mim, s in zone.plans.refused.items()
    }


def _zone_state(zone: ZoneController, record: DecisionRecord, *, dry_run: bool) -> str:
    """In a word: `failing` and `silent` mean that no heartbeat goes out, `blind` that no node is measured."""
    overdue_s = _OVERDUE_PERIODS * zone.loop.period_s
    if zone.clock.monotonic_s() - record.state.now_s > overdue_s:
        return "failing"
    if zone.cycle.silent:
        return "silent"
    if (record.state.nodes.quality == Quality.BAD).all():
        return "blind"
    if zone.cycle.paused:
        return "paused"
    if not record.bounds.mim_enabled.any():
        return "paused" if zone.cycle.leases.paused(zone.zone.id) else "watching"
    whole = (record.state.mims.quality > Quality.BAD).all() and not record.state.bad_nodes() and not zone.cycle.silenced.any()
    # whatever the plans of a dry run say, nothing is balanced
    states = ("dry run", "dry run, degraded") if dry_run else ("balancing", "degraded")
    return states[0] if whole else states[1]


def _devices(zone: ZoneController, state: SiteState | None) -> dict[str, int]:
    """How many meters and MIMs the zone has, and how many of them answer."""
    metered = [meter is not None for meter in zone.layout.meter_of_node]
    total = sum(metered) + len(zone.layout.mims)
    if state is None:
        return {"answering": 0, "total": total}
    answering = sum(metered) - len(state.bad_nodes()) + (state.mims.quality > Quality.BAD).sum()
    return {"answering": int(answering), "total": total}


def _remembered(zone: ZoneController) -> dict[str, Any]:
    """How far back `explain` can look."""
    kept = zone.memory.records
    since = kept[0].utc.isoformat(timespec="seconds") if kept else None
    return {"decisions": len(kept), "since": since, "bytes": zone.memory.nbytes}


def _latency(zone: ZoneController) -> dict[str, float | None]:
    """From the oldest measurement that a plan rests on to its last setpoint written [s]."""
    known = [latency for latency in zone.latencies_s if math.isfinite(latency)]  # a dry run writes nothing
    if not known:
        return {"p50": None, "p99": None}
    p50, p99 = np.percentile(np.array(known), [50, 99])
    return {"p50": _number(float(p50)), "p99": _number(float(p99))}


def _loops(zone: ZoneController) -> list[dict[str, Any]]:
    """Each class of MIMs: how late the site file says that it acts after a measurement, and how late it was found to be [s]."""
    loops = []
    for margin in zone_margins(zone.zone, zone.layout.mims, zone.layout.site.control.max_data_age_s):
        own = [m for m, mim in enumerate(zone.layout.mims) if mim.latency.kind is margin.kind]
        found = [delay_s for m in own if (delay_s := zone.cycle.responses.measured_s(m)) is not None]
        # wired MIMs act when they are told, so what was found of them is how long the telling takes
        wired = margin.kind is LatencyClass.FAST
        measured_s = _latency(zone)["p99"] if wired else max(found) + zone.loop.period_s if found else None
        loops.append({"class": margin.kind.value, "mims": margin.mims, "declared_s": margin.dead_s, "measured_s": measured_s})
    return loops


def _filter_status(zone: ZoneController, m: int, ports: slice) -> dict[str, Any]:
    """Shares of the harmonics that a MIM was told and tells; nothing for one without a filter."""
    told, record = zone.cycle.dispatcher.held.harmonics, zone.cycle.last
    if told is None or zone.layout.mims[m].harmonic_filter is None:
        return {}
    now = None if record is None else record.state.ports.harmonic_share
    return {"harmonic_share": _row(told.share[ports]), "harmonic_share_now": None if now is None else _row(now[ports])}


def _mims(zone: ZoneController, quality: Any, inject_w: FloatArray) -> dict[str, Any]:
    setpoint = zone.cycle.dispatcher.held.setpoint_va
    in_force = zone.cycle.dispatcher.held.in_force | zone.cycle.dispatcher.held.unproven.waiting
    return {
        mim.id: {
            "quality": Quality(int(quality[m])).name.lower(),
            "in_force": bool(in_force[m]),
            "setpoint_w": _row(setpoint.real[ports]),
            "setpoint_var": _row(setpoint.imag[ports]),
            "inject_w": _row(inject_w[ports]),
            **_filter_status(zone, m, ports),
        }
        for m, (mim, ports) in enumerate(zip(zone.layout.mims, zone.layout.ports_of_mim, strict=True))
    }


def above_status(controller: SiteController) -> dict[str, Any]:
    """What belongs to no zone: how much of it answers, and what its meters show."""
    upper, state = controller.upper, controller.upper_state
    rows = [i for i, node in enumerate(controller.layout.nodes) if node.id in controller.outside]
    metered = [i for i in rows if controller.layout.meter_of_node[i] is not None]
    devices = {"answering": 0, "total": len(metered)}
    if upper is None or state is None:
        return {"devices": devices, "nodes": {}}
    report, watch = controller.analyst.report(controller.with_outputs(state)), controller.headroom
    devices["answering"] = int((state.nodes.quality[metered] > Quality.BAD).sum())
    named = [(i, controller.layout.nodes[i]) for i in rows]
    nodes = {node.id: node_status(report, i, node) | node_reliance(watch, i) for i, node in named}
    return {"devices": devices, "nodes": nodes, "load_shift": load_shifts(watch)}


def site_status(controller: SiteController, events: EventLog, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Everything; `extra` joins the top level."""
    return {
        "site": controller.site.id,
        "name": controller.site.name,
        **extra,
        "above": above_status(controller),
        "zones": {zone.zone.id: zone_status(zone, dry_run=extra.get("dry_run") is True) for zone in controller.zones},
        "events": [event_status(event) for event in events.open()],
        "recent": [event_status(event) for event in events.recent()[-20:]],
    }
