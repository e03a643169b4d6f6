"""What a decision knew, and what it did not: ages, gaps, estimates, doubts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mimctl.control.explain.words import joined, seconds
from mimctl.control.past.light import LightRecord
from mimctl.model.layout import SiteLayout
from mimctl.model.sample import Quality

#: of many nodes in the same case only so many are named
_NAMED = 8


def data_lines(layout: SiteLayout, record: LightRecord, nodes: Sequence[int], mims: Sequence[int]) -> list[str]:
    """In sentences: the readings of these nodes and MIMs."""
    age_s = record.now_s - record.node_taken_s
    metered = [n for n in nodes if layout.meter_of_node[n] is not None]
    read = [n for n in metered if record.node_quality[n] > Quality.BAD and not record.estimated[n]]
    lines = []
    if read:
        oldest = max(read, key=lambda n: float(age_s[n]))
        old = f"{_age(age_s[oldest])} old"
        if len(metered) == 1:
            lines.append(f"the meter of {layout.nodes[oldest].id} had a usable reading, {old}")
        else:
            lines.append(
                f"{len(read)} of {len(metered)} meters had a usable reading, the oldest {old} (of {layout.nodes[oldest].id})"
            )
    lines += _gaps(layout, record, nodes)
    lines += [line for m in mims for line in _of_mim(layout, record, m)]
    return lines


def _gaps(layout: SiteLayout, record: LightRecord, nodes: Sequence[int]) -> list[str]:
    lines = []
    estimated = [n for n in nodes if record.estimated[n]]
    for n in estimated[:_NAMED]:
        lines.append(f"{layout.nodes[n].id}: not read; its flow is estimated from the others{_within(layout, record, n)}")
    doubted = [n for n in nodes if record.doubted[n]]
    for n in doubted[:_NAMED]:
        lines.append(f"{layout.nodes[n].id}: its reading contradicts others{_within(layout, record, n)}")
    missing = [
        n for n in nodes if layout.meter_of_node[n] is not None and record.node_quality[n] == Quality.BAD and n not in estimated
    ]
    age_s = record.now_s - record.node_taken_s
    for n in missing[:_NAMED]:
        last = "never read" if np.isnan(age_s[n]) else f"last read {_age(age_s[n])} before"
        lines.append(f"{layout.nodes[n].id}: missing ({last}); its load counts at the nearest node above that is read")
    bare = [layout.nodes[n].id for n in nodes if layout.meter_of_node[n] is None]
    if bare:
        named = joined(bare[:_NAMED]) + (f" and {len(bare) - _NAMED} more" if len(bare) > _NAMED else "")
        lines.append(f"without a meter: {named}; their loads count at the nearest node above that has one")
    more = max(len(estimated), len(doubted), len(missing)) - _NAMED
    return [*lines, *([f"… and {more} more"] if more > 0 else [])]


def _within(layout: SiteLayout, record: LightRecord, node: int) -> str:
    """How far off it may be."""
    if record.margin_va is None:
        return ""
    off_a = float(np.max(record.margin_va[node])) / float(layout.voltage_ln_v[node])
    return ", by how far off nobody can tell" if np.isnan(off_a) else f", within {off_a:.1f} A"


def _of_mim(layout: SiteLayout, record: LightRecord, m: int) -> list[str]:
    name, age_s = layout.mims[m].id, record.now_s - float(record.mim_taken_s[m])
    if np.isnan(age_s):
        return [f"{name} has never told its state"]
    match int(record.mim_quality[m]):
        case Quality.BAD:
            return [f"{name}: what it told {_age(age_s)} before is not usable"]
        case Quality.SUSPECT:
            return [f"{name}: what it told {_age(age_s)} before is suspect"]
    return [f"{name} told its own state {_age(age_s)} before"]


def _age(age_s: float) -> str:
    return seconds(max(0.0, float(age_s)))
