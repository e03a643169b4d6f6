"""What the limits of nodes without a meter leave: currents by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.builders import rack_site

from mimctl.grid.regions import Regions
from mimctl.grid.tree import TreeOperators
from mimctl.model.layout import SiteLayout


def regions(*blank: str) -> Regions:
    site = rack_site(2)
    site = replace(site, meters=tuple(m for m in site.meters if m.node not in blank))
    return Regions(TreeOperators(SiteLayout(site)))


def test_every_unmetered_node_below_a_meter_belongs_to_it() -> None:
    found = regions("rack1")
    layout = found.operators.layout
    assert [layout.nodes[n].id for n in found.nodes] == ["rack1"]
    assert [layout.nodes[n].id for n in found.tops] == ["pdu"]
    assert len(regions().nodes) == 0


def test_the_reserve_is_the_load_that_the_meters_below_do_not_show() -> None:
    """pdu 5000 W, rack 2 has 3000 W of it: 2000 W and 500 var may stand at rack 1."""
    found = regions("rack1")
    gross_va = np.zeros((1, len(found.operators.layout.nodes), 3), dtype=np.complex128)
    index = found.operators.layout.node_index
    gross_va[0, index["pdu"], 0] = 5000 + 500j
    gross_va[0, index["rack2"], 0] = 3000
    assert found.reserve_va(gross_va)[0, 0] == pytest.approx([abs(2000 + 500j), 0, 0])
    assert found.passing_va(gross_va)[0, 0] == pytest.approx([0, 0, 0])


def test_what_is_left_of_phases_and_neutral_is_never_negative() -> None:
    """At 230 V 2300, 1150 and 4600 VA are 10, 5 and 20 A; the neutral may carry the two largest, 30 A."""
    found = regions("rack1")
    node = found.operators.layout.node_index["rack1"]
    limit_a = np.full((len(found.operators.layout.nodes), 3), 16.0)
    neutral_a = np.full(len(limit_a), 32.0)
    reserve_va = np.array([[[2300.0, 1150.0, 4600.0]]])
    left_a, left_neutral_a = found.left_a(limit_a, neutral_a, reserve_va)
    assert found.operators.layout.voltage_ln_v[node] == 230
    assert left_a[0, 0] == pytest.approx([6, 11, 0])
    assert left_neutral_a[0, 0] == pytest.approx(2)
    assert found.left_a(limit_a, np.full(len(limit_a), np.inf), reserve_va)[1][0, 0] == np.inf
