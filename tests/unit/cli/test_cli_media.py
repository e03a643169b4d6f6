"""How many MIMs of each medium are at work, as the demo tells it."""

from __future__ import annotations

from dataclasses import replace

from tests.builders import rack_site

from mimctl.cli.media import at_work
from mimctl.model.link import Link, LinkType
from mimctl.model.site import Site


def mixed() -> Site:
    site = rack_site(3)
    pairs = zip(site.mims, ("gw", "zb", "lora"), strict=True)
    mims = [replace(mim, address=replace(mim.address, link=link)) for mim, link in pairs]
    radios = Link("zb", LinkType.ZIGBEE), Link("lora", LinkType.LORAWAN)
    return replace(site, links=(*site.links, *radios), mims=tuple(mims))


def status(*mims: tuple[bool, list[float | None]]) -> dict:
    names = [mim.id for mim in mixed().mims]
    found = {name: {"in_force": held, "inject_w": watts} for name, (held, watts) in zip(names, mims, strict=True)}
    return {"zones": {"hall": {"mims": found}}}


def test_at_work_is_what_holds_a_setpoint_and_says_that_power_flows():
    quiet, told, working = (False, [0.0, 0.0, 0.0]), (True, [None, None, None]), (True, [0.0, -300.0, 299.0])
    assert at_work(mixed(), status(working, told, quiet)) == "at work: 1 of 1 wired, 0 of 1 zigbee, 0 of 1 lorawan"
    assert at_work(mixed(), status(quiet, working, working)) == "at work: 0 of 1 wired, 1 of 1 zigbee, 1 of 1 lorawan"
    assert at_work(mixed(), status((False, [300.0, 0.0, -300.0]), quiet, quiet)).startswith("at work: 0 of 1 wired")


def test_before_there_is_a_status_nobody_is():
    assert at_work(mixed(), {"zones": {}}) == "at work: 0 of 1 wired, 0 of 1 zigbee, 0 of 1 lorawan"


def test_a_site_of_wires_says_nothing_of_media():
    assert at_work(rack_site(3), {"zones": {}}) == ""
