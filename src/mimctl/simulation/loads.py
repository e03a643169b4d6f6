"""The loads of a simulation: a trace file where one is given, else the built-in generator."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mimctl.model.errors import UserError
from mimctl.model.layout import SiteLayout
from mimctl.model.site import Site
from mimctl.twin.generator import GeneratedLoads
from mimctl.twin.loads import LoadSet
from mimctl.twin.traces import TraceInfo, read_trace

#: a Monday; only the shape of the day depends on it
DEFAULT_START = datetime(2026, 1, 5, tzinfo=UTC)
DEFAULT_HOURS = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class ChosenLoads:
    """What drives a run.

    Args:
        hours: how long the run is: as asked, or what the trace holds.
        trace: None = the generator.
    """

    loads: LoadSet
    start: datetime
    hours: float
    trace: TraceInfo | None


def choose_loads(
    site: Site, trace: Path | None, *, start: datetime | None, hours: float | None, step_s: float, seed: int
) -> ChosenLoads:
    """Loads for a run.

    Raises:
        UserError: the trace cannot be used, or does not last as long as asked; the site has no loads at all.
    """
    layout = SiteLayout(site)
    if trace is None:
        if not site.twin.loads:
            raise UserError(f"site '{site.id}' has no twin.loads to generate: add some, or give a trace with --loads FILE")
        begin = start or DEFAULT_START
        source = GeneratedLoads(site.twin.loads, seed, begin)
        return ChosenLoads(LoadSet(layout, source, step_s=step_s, seed=seed), begin, hours or DEFAULT_HOURS, None)
    traced = read_trace(trace, site, start)
    lasts_h = traced.remaining_s / 3600
    if hours is not None and hours > lasts_h + 1e-9:
        raise UserError(f"{trace}: holds {lasts_h:g} h from {traced.start:%Y-%m-%dT%H:%M:%S}; --hours {hours:g} is more")
    loads = LoadSet(layout, traced, step_s=step_s, seed=seed)
    return ChosenLoads(loads, traced.start, hours or lasts_h, traced.info)
