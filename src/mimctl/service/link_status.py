"""The links in plain values: are they up, how long one look at all their devices takes, what went wrong on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mimctl.control.events import EventLog
from mimctl.control.site_controller import SiteController
from mimctl.drivers.registry import RegisterGroup
from mimctl.model.problem import Severity
from mimctl.model.protocols import DriverGroup, TellsNews
from mimctl.wire.modbus import ModbusLink


def links_status(groups: Iterable[DriverGroup], controller: SiteController) -> dict[str, Any]:
    """By link id.

    `sweep_ms` is the time that one look at all its devices of one zone took lately; `budget_ms` is what there is for it, the part
    of the shortest cycle among its zones in which a cycle reads. A sweep that takes longer is not lost: its samples are of an
    earlier cycle. `busy_pct` is the one as a share of the other, `resting` the units that the circuit breaker leaves alone.
    """
    sweeps, budgets_s = _sweeps(controller)
    return {group.link: _link(group, sweeps.get(group.link, ()), budgets_s.get(group.link)) for group in groups}


def _sweeps(controller: SiteController) -> tuple[dict[str, list[float]], dict[str, float]]:
    """By link: the last sweeps of every zone and of the site level, and the least time that a zone has for one [s]."""
    found: dict[str, list[float]] = {}
    budgets_s: dict[str, float] = {}
    for zone in controller.zones:
        for link, times_s in zone.cycle.collector.sweeps_s().items():
            found.setdefault(link, []).extend(times_s)
            budgets_s[link] = min(budgets_s.get(link, np.inf), zone.cycle.reading_s)
    if controller.upper is not None:
        for link, times_s in controller.upper.sweeps_s().items():
            found.setdefault(link, []).extend(times_s)
    return found, budgets_s


def _link(group: DriverGroup, sweeps_s: Sequence[float], budget_s: float | None) -> dict[str, Any]:
    p50, p99 = (None, None) if not sweeps_s else (round(1000 * float(v), 2) for v in np.percentile(sweeps_s, [50, 99]))
    status: dict[str, Any] = {
        "devices": len(group.drivers),
        "sweep_ms": {"p50": p50, "p99": p99},
        "budget_ms": None if budget_s is None else round(1000 * budget_s, 2),
        "busy_pct": None if p50 is None or budget_s is None else round(p50 / (10 * budget_s), 1),
    }
    if isinstance(group, RegisterGroup) and isinstance(group.transport, ModbusLink):
        status |= _counted(group.transport)
    elif isinstance(group, TellsNews):
        status |= group.status()
    return status


def note_link_news(groups: Iterable[DriverGroup], events: EventLog) -> None:
    """What happened on the links by itself, as events; what went well is kept with its device, for whoever looks at that one."""
    for group in groups:
        if isinstance(group, TellsNews):
            for news in group.take_news():
                if news.bad:
                    events.note(news.code, Severity.WARNING, news.device, f"{news.device}: {news.text}")
                else:
                    events.pass_by(news.code, news.device, f"{news.device}: {news.text}")


def _counted(link: ModbusLink) -> Mapping[str, Any]:
    counts = link.counts
    return {
        "connected": link.connected,
        "connections": counts.connections,
        "requests": counts.requests,
        "timeouts": counts.timeouts,
        "late": counts.late,
        "wrong": counts.wrong,
        "busy": counts.busy,
        "rested": counts.rested,
        "resting": list(link.resting),
    }
