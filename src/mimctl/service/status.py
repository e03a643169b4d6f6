"""The running service in one dictionary of plain values: what the door, the live table and later the API show."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from mimctl.control.events import EventLog
from mimctl.control.site_controller import SiteController
from mimctl.control.zone import ZoneController
from mimctl.model.event import Event
from mimctl.model.layout import FloatArray
from mimctl.model.report import SiteReport
from mimctl.model.sample import Quality

#: report field → key; per node one number
_NODE_FIGURES = {
    "i2_i1": "i2_i1",
    "i0_i1": "i0_i1",
    "neutral_a": "neutral_a",
    "loading_pct": "loading_pct",
    "vuf2_pct": "vuf2_pct",
    "unbalance_nema_pct": "unbalance_nema_pct",
}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 4)


def _row(values: FloatArray) -> list[float | None]:
    return [_number(v) for v in values]


def node_status(report: SiteReport, i: int) -> dict[str, Any]:
    """One node as last measured; unknown is None."""
    figures: dict[str, Any] = {key: _number(getattr(report, name)[i]) for name, key in _NODE_FIGURES.items()}
    figures["current_a"] = _row(report.current_a[i])
    figures["headroom_firm_a"] = _row(report.headroom_firm_a[i])
    figures["headroom_n1_a"] = _row(report.headroom_n1_a[i])
    figures["headroom_assisted_a"] = _row(report.headroom_assisted_a[i])
    return figures


def event_status(event: Event) -> dict[str, Any]:
    return {
        "code": event.code,
        "severity": event.severity.value,
        "where": event.where,
        "text": event.text,
        "since": event.since.isoformat(timespec="seconds"),
        "cleared": event.cleared and event.cleared.isoformat(timespec="seconds"),
    }


def zone_status(zone: ZoneController) -> dict[str, Any]:
    """One zone: is it controlling, how long do its cycles take, what does it see."""
    record, loop = zone.cycle.last, zone.loop
    status: dict[str, Any] = {"cycle_s": loop.period_s, "cycles": loop.ticks, "skipped": loop.skipped, "errors": loop.errors}
    if record is None:
        return status | {"state": "starting", "nodes": {}, "mims": {}}
    durations = dict(record.durations_s)
    good = record.state.mims.quality > Quality.BAD
    state = "paused" if zone.cycle.paused else "balancing" if record.bounds.mim_enabled.any() else "watching"
    return status | {
        "state": "degraded" if state == "balancing" and (not good.all() or record.state.bad_nodes()) else state,
        "cycle_ms": round(1000 * sum(durations.values()), 2),
        "stages_ms": {name: round(1000 * seconds, 3) for name, seconds in durations.items()},
        "latency_s": _number(_latency_s(zone)),
        "objective": _number(record.report.objective),
        "plan": {"status": record.plan.status.value, "iterations": record.plan.iterations},
        "bad_nodes": record.state.bad_nodes(),
        "nodes": {node.id: node_status(record.report, i) for i, node in enumerate(zone.layout.nodes)},
        "mims": _mims(zone, record.state.mims.quality, record.state.ports.inject_w),
    }


def _latency_s(zone: ZoneController) -> float:
    """From the oldest measurement that a plan rests on to the setpoint written [s]."""
    record = zone.cycle.last
    if record is None or not np.isfinite(zone.cycle.dispatcher.written_at_s).any():
        return math.nan
    taken = record.state.nodes.taken_at_s
    return float(zone.cycle.dispatcher.written_at_s.max() - np.nanmin(taken)) if np.isfinite(taken).any() else math.nan


def _mims(zone: ZoneController, quality: Any, inject_w: FloatArray) -> dict[str, Any]:
    setpoint = zone.cycle.dispatcher.setpoint_va
    in_force = zone.cycle.dispatcher.in_force
    return {
        mim.id: {
            "quality": Quality(int(quality[m])).name.lower(),
            "in_force": bool(in_force[m]),
            "setpoint_w": _row(setpoint.real[ports]),
            "setpoint_var": _row(setpoint.imag[ports]),
            "inject_w": _row(inject_w[ports]),
        }
        for m, (mim, ports) in enumerate(zip(zone.layout.mims, zone.layout.ports_of_mim, strict=True))
    }


def site_status(controller: SiteController, events: EventLog, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Everything; `extra` joins the top level."""
    return {
        "site": controller.site.id,
        "name": controller.site.name,
        **extra,
        "zones": {zone.zone.id: zone_status(zone) for zone in controller.zones},
        "events": [event_status(event) for event in events.open()],
        "recent": [event_status(event) for event in events.recent()[-20:]],
    }
