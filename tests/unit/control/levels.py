"""Sites whose zones stand below a feed, for tests of the levels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from tests.builders import rack_site

from mimctl.model.forecast import LoadForecast
from mimctl.model.layout import ComplexArray, SiteLayout
from mimctl.model.node import Transformer, Winding
from mimctl.model.site import BalanceRule, Site, Zone


def zoned_site(racks: int = 2, *, delta: bool = False) -> Site:
    """Each rack a zone of its own; feed and PDU stand above them, with a delta winding between the two if asked for."""
    site = rack_site(racks)
    nodes = site.nodes
    if delta:
        feed = replace(nodes[0], neutral_rating_a=None)
        nodes = (feed, replace(nodes[1], transformer=Transformer(Winding.DYN, 1e5)), *nodes[2:])
    zones = tuple(Zone(f"z{i + 1}", (f"rack{i + 1}",)) for i in range(racks))
    return replace(site, nodes=nodes, zones=zones, rules=(BalanceRule("balance", tuple(zone.id for zone in zones)),))


def known_load(load: ComplexArray) -> LoadForecast:
    """These own loads (N, 3) [VA], all of them measured."""
    everywhere = np.ones(len(load), dtype=np.bool_)
    return LoadForecast(load.real, load.imag, everywhere, everywhere)


def rack_load(site: Site, random: np.random.Generator, mean_w: float = 2000.0) -> ComplexArray:
    """(N, 3) loads at the racks only [VA]."""
    layout = SiteLayout(site)
    load = np.zeros((len(layout.nodes), 3), dtype=np.complex128)
    racks = [i for i, node in enumerate(layout.nodes) if node.id.startswith("rack")]
    active = mean_w * random.uniform(0.3, 1.7, (len(racks), 3))
    load[racks] = active * (1 + 1j * random.uniform(0.0, 0.4, (len(racks), 3)))
    return load
