"""What longer cycles and later MIMs cost: the share achieved over cycle periods and mixes of latency classes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path

from _measure import show

from mimctl.config.site import load_site
from mimctl.model.latency import TYPICAL, LatencyClass
from mimctl.model.link import Link, LinkType
from mimctl.model.lorawan import LorawanLink
from mimctl.model.resources import site_config
from mimctl.model.site import Site
from mimctl.service.logs import set_up
from mimctl.simulation.engine import Request, simulate
from mimctl.simulation.loads import choose_loads

FAST, MEDIUM, SLOW = LatencyClass
#: the classes of the MIMs in turn
MIXES: dict[str, Sequence[LatencyClass]] = {
    "all fast": (FAST,),
    "half medium": (FAST, MEDIUM),
    "half slow": (FAST, SLOW),
    "a third each": (FAST, MEDIUM, SLOW),
    "all medium": (MEDIUM,),
    "all slow": (SLOW,),
}
#: a setpoint must outlive three commands of its medium and of the cycle
_COMMANDS = 3.5


def mixed(site: Site, classes: Sequence[LatencyClass]) -> Site:
    """The site with its MIMs dealt out to the classes in turn."""
    mims = []
    for mim, kind in zip(site.mims, islice(cycle(classes), len(site.mims)), strict=True):
        latency = TYPICAL[kind]
        validity_s = max(mim.validity_s, _COMMANDS * latency.command_every_s + latency.delay_s)
        mims.append(replace(mim, latency=latency, validity_s=validity_s))
    return replace(site, mims=tuple(mims))


def on_the_air(site: Site) -> Site:
    """The medium MIMs behind a Zigbee mesh, the slow ones on LoRaWAN in EU868, with all that radios do to frames."""
    links = (Link("zb", LinkType.ZIGBEE), Link("lora", LinkType.LORAWAN, lorawan=LorawanLink("bench", "")))
    mims = []
    for n, mim in enumerate(site.mims):
        link = {MEDIUM: "zb", SLOW: "lora"}.get(mim.latency.kind)
        profile = "mimctl/mim" if link == "lora" else mim.address.profile
        address = mim.address if link is None else replace(mim.address, link=link, eui=f"{n + 1:016x}", profile=profile)
        mims.append(replace(mim, address=address))
    return replace(site, links=(*site.links, *links), mims=tuple(mims))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--site", type=Path, default=None, help="site file (default: the packaged demonstration hall)")
    parser.add_argument("--loads", type=Path, default=None, help="trace of loads (default: the built-in generator)")
    parser.add_argument("--start", default=None, help="UTC instant to start at (default: the trace's beginning)")
    parser.add_argument("--hours", type=float, default=0.1)
    parser.add_argument("--periods", default="1,10,60", help="cycle periods, comma separated [s]")
    parser.add_argument("--mixes", default=",".join(MIXES), help="comma separated (default: all)")
    parser.add_argument("--frame-loss", type=float, default=None, help="medium on Zigbee, slow on LoRaWAN, losing this share [%%]")
    parser.add_argument("--json", metavar="FILE", help="also as JSON; - is standard output")
    options = parser.parse_args()
    set_up("critical")
    path = options.site or site_config("demo")
    site, start = load_site(path), options.start and datetime.fromisoformat(options.start).replace(tzinfo=UTC)
    rows: list[dict[str, object]] = []
    for period_s in map(float, options.periods.split(",")):
        for name in options.mixes.split(","):
            classes = MIXES[name]
            variant = mixed(site, classes)
            if options.frame_loss is not None:
                variant = on_the_air(variant)
            chosen = choose_loads(variant, options.loads, start=start, hours=options.hours, step_s=period_s, seed=1)
            request = Request(variant, chosen.loads, chosen.start, chosen.hours, period_s, 1)
            result = simulate(replace(request, frame_loss_pct=options.frame_loss or 0.0))
            rows.append(
                {
                    "period s": period_s,
                    "classes": name,
                    "achieved %": 100 * (result["achieved_share"] or 0.0),
                    "removed %": 100 * (result["removed_share"] or 0.0),
                    "worse than none %": result["worse_than_none_pct"],
                    "limit violations": result["limit_violations"],
                    "writes a MIM and hour": result["calm"]["writes_per_mim_h"],
                    "A travelled a port and hour": result["calm"]["travel_a_per_port_h"],
                }
            )
    show(f"quality: {path.name}, {options.hours:g} h", rows, options.json)


if __name__ == "__main__":
    main()
