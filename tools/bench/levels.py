"""What zones lose against one solve of the whole tree: with fresh prices, with old ones, without the site level."""

from __future__ import annotations

import argparse
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from _measure import show

from mimctl.config.site import load_site
from mimctl.model.resources import site_config
from mimctl.model.site import Site, Zone
from mimctl.service.logs import set_up
from mimctl.simulation.engine import Request, simulate
from mimctl.simulation.loads import choose_loads
from mimctl.simulation.without import EVERYBODY, Without

#: prices of a minute are refreshed when they end
_OLD_S = 60.0


def cut(site: Site, zones: tuple[Zone, ...]) -> Site:
    """The same site in other zones, with one rule for all."""
    names = tuple(zone.id for zone in zones)
    return replace(site, zones=zones, rules=tuple(replace(rule, zones=names) for rule in site.rules[:1]))


def variants(site: Site, heads: list[str], step_s: float) -> list[tuple[str, Site, Without]]:
    """Whole tree in one zone, then the zones with less and less of the site level."""
    feeds = tuple(feed.node for feed in site.feeds)
    whole = cut(site, (Zone("all", feeds),))
    zoned = cut(site, tuple(Zone(head, (head,)) for head in heads)) if heads else site

    def every(period_s: float) -> Site:
        return replace(zoned, control=replace(zoned.control, site_period_s=period_s))

    return [
        ("one zone", whole, EVERYBODY),
        ("prices each cycle", every(step_s), EVERYBODY),
        (f"prices each {_OLD_S:g} s", every(_OLD_S), EVERYBODY),
        ("no site level", zoned, Without(site=True)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--site", type=Path, default=None, help="site file (default: the packaged hall of three zones)")
    parser.add_argument("--heads", default="", help="heads of the zones, a zone each (default: the zones of the file)")
    parser.add_argument("--loads", type=Path, default=None, help="trace of loads (default: the built-in generator)")
    parser.add_argument("--start", default=None, help="UTC instant to start at (default: the trace's beginning)")
    parser.add_argument("--hours", type=float, default=0.02)
    parser.add_argument("--step", type=float, default=1.0)
    parser.add_argument("--json", metavar="FILE", help="also as JSON; - is standard output")
    options = parser.parse_args()
    set_up("critical")
    path = options.site or site_config("zoned_hall")
    site, heads = load_site(path), [head for head in options.heads.split(",") if head]
    start = None if options.start is None else datetime.fromisoformat(options.start).replace(tzinfo=UTC)
    rows: list[dict[str, object]] = []
    best = 0.0
    for name, variant, without in variants(site, heads, options.step):
        chosen = choose_loads(variant, options.loads, start=start, hours=options.hours, step_s=options.step, seed=1)
        request = Request(variant, chosen.loads, chosen.start, chosen.hours, options.step, 1, without=without)
        result = simulate(request)
        share = 100 * (result["achieved_share"] or 0.0)
        best = best or share
        rows.append(
            {
                "levels": name,
                "achieved %": share,
                "loss points": best - share,
                "removed %": 100 * (result["removed_share"] or 0.0),
                "worse than none %": result["worse_than_none_pct"],
                "limit violations": result["limit_violations"],
                "refusals": result["refusals"],
                "cycle p50 ms": result["cycle_ms"]["p50"],
            }
        )
    show(f"levels: {path.name}, {options.hours:g} h at {options.step:g} s", rows, options.json)


if __name__ == "__main__":
    main()
