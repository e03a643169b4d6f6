"""Tables that several rooms read: one figure for each limit of the site file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.builders import rack_site

from mimctl.model.connection import Connection
from mimctl.model.layout import SiteLayout
from mimctl.model.site import PortSpec


def with_ports(*ports: tuple[str, float], **more: object) -> SiteLayout:
    site = rack_site(1)
    specs = tuple(PortSpec("rack1", Connection(name), rating_va) for name, rating_va in ports)
    return SiteLayout(replace(site, mims=(replace(site.mims[0], ports=specs, **more),)))


def test_the_neutral_of_a_mim_is_made_for_its_largest_single_phase_port() -> None:
    """2300 VA at 230 V are 10 A; what stands between two phases or on all three does not use the neutral."""
    assert with_ports(("L1", 2300.0), ("L2", 1150.0)).mim_neutral_rating_a.tolist() == [10.0]
    assert with_ports(("L1", 2300.0), ("L2L3", 9000.0), ("3ph", 9000.0)).mim_neutral_rating_a.tolist() == [10.0]
    assert with_ports(("L1", 2300.0), neutral_rating_a=4.0).mim_neutral_rating_a.tolist() == [4.0]


def test_a_mim_without_neutral_has_no_limit_there() -> None:
    layout = with_ports(("L1L2", 2300.0), ("3ph", 2300.0))
    assert layout.mim_neutral_rating_a.tolist() == [np.inf]
    assert layout.port_neutral_per_va.tolist() == [0, 0]


def test_the_neutral_per_va_is_the_conjugate_of_the_phase_voltage_inverted() -> None:
    per_va = with_ports(("L1", 2300.0), ("L2", 2300.0)).port_neutral_per_va
    assert per_va[0] == pytest.approx(1 / 230)
    assert per_va[1] == pytest.approx(np.exp(2j * np.pi / 3) / 230)


def test_a_head_that_is_no_feed_is_free() -> None:
    site = rack_site(1)
    assert SiteLayout(replace(site, feeds=(replace(site.feeds[0], reverse_power_limit_w=500.0),))).head_min_import_w.tolist() == [
        -500.0
    ]
    assert SiteLayout(replace(site, feeds=())).head_min_import_w.tolist() == [-np.inf]


def test_a_node_without_neutral_rating_has_no_neutral_limit() -> None:
    site = rack_site(1)
    nodes = tuple(replace(n, neutral_rating_a=None) if n.id == "pdu" else n for n in site.nodes)
    assert SiteLayout(replace(site, nodes=nodes)).neutral_limit_a.tolist() == [400.0, np.inf, 63.0]
