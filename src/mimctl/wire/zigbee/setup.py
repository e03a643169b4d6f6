"""Have a device report by itself: bind, read once, configure. After that nobody polls it, but for what it cannot report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import zigpy.types as t
from zigpy.zcl import foundation

from mimctl.model.errors import BadReply
from mimctl.wire.zigbee import zcl
from mimctl.wire.zigbee.guard import plain_eui
from mimctl.wire.zigbee.watched import Spot, Wanted, Watched

#: attributes in one request: their answer fits into one frame
_AT_A_TIME = 5
#: longest wait for one answer, and how often it is asked again [s]
_PATIENCE: dict[str, Any] = {"timeout": 5.0, "retries": 1}
_T = TypeVar("_T")


class ReportListener:
    """Hands the reports of one cluster on. zigpy calls it by the name of its event."""

    def __init__(self, watched: Watched, endpoint: int, cluster: int, now_s: Callable[[], float]) -> None:
        self._watched, self._endpoint, self._cluster, self._now_s = watched, endpoint, cluster, now_s

    def general_command(self, header: Any, args: Any) -> None:
        if header.command_id != foundation.GeneralCommand.Report_Attributes:
            return
        now_s = self._now_s()
        for record in args.attribute_reports:
            spot = (self._endpoint, self._cluster, header.manufacturer, int(record.attrid))
            self._watched.take(spot, int(record.value.type), record.value.value, now_s)


async def set_up(device: Any, watched: Watched, listening: dict[int, Any], now_s: Callable[[], float]) -> None:
    """Bind what is wanted of a device, read it once, and have it reported from then on.

    Args:
        listening: listeners by the identity of their cluster object; an object that was heard before is not heard twice.

    Raises:
        BadReply: it has no such endpoint or cluster, or gives none of the values.
        TimeoutError, ZigbeeException: it does not answer.
    """
    bound: set[tuple[int, int]] = set()
    watched.unreported.clear()
    for (endpoint, number, maker), wanted in watched.places():
        cluster = _cluster(device, endpoint, number)
        if id(cluster) not in listening:
            listening[id(cluster)] = cluster, ReportListener(watched, endpoint, number, now_s)
            cluster.add_listener(listening[id(cluster)][1])
        reported = [w for w in wanted if not w.fixed]
        if reported and (endpoint, number) not in bound:
            await _bind(cluster, watched)
            bound.add((endpoint, number))
        await _read(cluster, wanted, watched, maker, now_s)
        await _configure(cluster, reported, watched, maker)
    if not watched.values:
        raise BadReply(watched.eui, "it gives none of the values that its profile names")


async def read_unreported(device: Any, watched: Watched, now_s: Callable[[], float]) -> None:
    """Ask for what a device does not report by itself. Raises as `set_up`."""
    for (endpoint, number, maker), wanted in watched.places():
        asked = [w for w in wanted if w.spot in watched.unreported]
        if asked:
            await _read(_cluster(device, endpoint, number), asked, watched, maker, now_s)


async def _bind(cluster: Any, watched: Watched) -> None:
    """Raises as `set_up`. A refusal is counted, and no more: some devices report without a binding, and silence is noticed."""
    answer = await cluster.bind(**_PATIENCE)
    if answer and int(answer[0]) != 0:
        watched.refuse("binding refused", watched.eui)


def _cluster(device: Any, endpoint: int, number: int) -> Any:
    found = device.endpoints.get(endpoint)
    cluster = None if found is None or endpoint == 0 else found.in_clusters.get(number)
    if cluster is None:
        raise BadReply(plain_eui(device.ieee), f"it has no cluster 0x{number:04x} on endpoint {endpoint}")
    return cluster


async def _read(cluster: Any, wanted: Sequence[Wanted], watched: Watched, maker: int | None, now_s: Callable[[], float]) -> None:
    for some in _batches(wanted):
        ids = [t.uint16_t(w.spot[3]) for w in some]
        answer = await cluster.general_command(foundation.GeneralCommand.Read_Attributes, ids, manufacturer=maker, **_PATIENCE)
        for record in getattr(answer, "status_records", ()):
            spot = (*some[0].spot[:3], int(record.attrid))
            if record.status == foundation.Status.SUCCESS and record.value is not None:
                watched.take(spot, int(record.value.type), record.value.value, now_s())
            elif record.status == foundation.Status.UNSUPPORTED_ATTRIBUTE:
                watched.absent.add(spot)


async def _configure(cluster: Any, wanted: Sequence[Wanted], watched: Watched, maker: int | None) -> None:
    here = [w for w in wanted if w.spot in watched.values]
    for some in _batches(here):
        records = [_reporting(w, watched) for w in some]
        answer = await cluster.general_command(
            foundation.GeneralCommand.Configure_Reporting, records, manufacturer=maker, **_PATIENCE
        )
        refused = _refused(answer, some)
        watched.unreported |= refused
        for _ in refused:
            watched.refuse("reporting refused", watched.eui)


def _refused(answer: Any, asked: Sequence[Wanted]) -> set[Spot]:
    """What will not be reported: all of it, where the device does not know the command or does not say what it refuses."""
    records = getattr(answer, "status_records", None)
    if not records:
        return {w.spot for w in asked}
    wrong = [record for record in records if record.status != foundation.Status.SUCCESS]
    named = {int(record.attrid) for record in wrong if record.attrid is not None}
    found = {w.spot for w in asked if w.spot[3] in named}
    return found if found or not wrong else {w.spot for w in asked}


def _reporting(wanted: Wanted, watched: Watched) -> Any:
    kind, unit = watched.values[wanted.spot].kind, watched.unit(wanted)
    record = foundation.AttributeReportingConfig()
    record.direction = foundation.ReportingDirection.SendReports
    record.attrid, record.datatype = wanted.spot[3], kind
    record.min_interval, record.max_interval = round(wanted.least_s), max(1, round(wanted.most_s))
    record.reportable_change = zcl.number(kind, max(1.0, wanted.change / unit) if unit > 0 else 1.0)
    return record


def _batches(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    return (items[n : n + _AT_A_TIME] for n in range(0, len(items), _AT_A_TIME))
