"""Harmonic currents in the tree: windings, what a late copy cancels, what a filter sees, and what is left of a rating."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.builders import rack_site

from mimctl.grid.harmonics import FilterPorts, cancellable, current_accumulate, leftover, rms_room_a
from mimctl.model.connection import Connection
from mimctl.model.harmonics import HarmonicFilter, order_bits, orders_in
from mimctl.model.layout import SiteLayout
from mimctl.model.node import Transformer, Winding
from mimctl.model.site import PortSpec


def layout_with(connection: Connection = Connection.L1, *, clock: int | None = None) -> SiteLayout:
    """feed → pdu → two racks; the first rack's MIM filters and has one port; the PDU behind a transformer if a clock is given."""
    site = rack_site(2)
    unit = None if clock is None else Transformer(Winding.DYN, 100e3, clock=clock)
    nodes = tuple(replace(n, transformer=unit) if n.id == "pdu" else n for n in site.nodes)
    first = replace(site.mims[0], ports=(PortSpec("rack1", connection, 2300.0),), harmonic_filter=HarmonicFilter((3, 5)))
    return SiteLayout(replace(site, nodes=nodes, mims=(first, *site.mims[1:])))


def test_timing_errors_of_the_classical_orders():
    """2·sin(πhft): a tenth is left at 106 µs of order 3, 45 µs of order 7, 24 µs of order 13 at 50 Hz."""
    for order, error_s in ((3, 106e-6), (7, 45.5e-6), (13, 24.5e-6)):
        assert leftover((order,), error_s, 50.0)[0] == pytest.approx(0.1, rel=0.01)
    assert leftover((5,), 1 / 250 / 6, 50.0)[0] == pytest.approx(1.0)  # 60° late: as large as before


def test_orders_that_a_late_filter_would_spoil_are_left_out():
    part = HarmonicFilter((3, 5, 7, 9, 11, 13), timing_error_s=150e-6)
    assert cancellable(part, 50.0) == (3, 5, 7, 9)
    assert cancellable(part, 60.0) == (3, 5, 7)  # 3.24° a harmonic: 29.2° at order 9 leave 50.4 %


def test_order_bits_are_those_of_the_register():
    assert order_bits((3, 5)) == 0b10100
    assert orders_in(0b10100) == (3, 5)
    with pytest.raises(ValueError, match="33"):
        order_bits((33,))


@pytest.mark.parametrize("clock", [1, 5, 7, 11])
def test_a_delta_keeps_balanced_triplens_from_its_primary(clock: int):
    layout = layout_with(clock=clock)
    up = current_accumulate(layout).toarray()
    feed, rack = 3 * layout.node_index["feed"], 3 * layout.node_index["rack1"]
    block = up[feed : feed + 3, rack : rack + 3]
    np.testing.assert_allclose(block @ [1.0, 1.0, 1.0], 0.0, atol=1e-12)
    # one line's current leaves through two lines of the primary, each 1/√3 of it
    np.testing.assert_allclose(np.sort(block @ [1.0, 0.0, 0.0]), [-1 / np.sqrt(3), 0.0, 1 / np.sqrt(3)], atol=1e-12)


def test_what_a_port_sees():
    single, pair, three = (FilterPorts(layout_with(c)) for c in (Connection.L1, Connection.L1L2, Connection.THREE_PHASE))
    line = np.array([6.0, 3.0, 0.0])
    lines = np.tile(line, (4, 1))
    np.testing.assert_allclose(single.sense @ line, [6.0])
    np.testing.assert_allclose(pair.sense @ line, [1.0])
    np.testing.assert_allclose(three.sense @ line, [3.0, 0.0, -3.0], atol=1e-12)
    assert single.local_bound_a(lines)[0] == pytest.approx(6.0)
    assert pair.local_bound_a(lines)[0] == pytest.approx(3.0)  # sizes alone: (6 + 3)/3
    assert single.able.tolist() == [True, False, False, False]
    assert single.orders.tolist() == [order_bits((3, 5)), 0, 0, 0]


def test_ratings_by_connection():
    ports = {c: FilterPorts(layout_with(c)) for c in (Connection.L1, Connection.L1L2, Connection.THREE_PHASE)}
    assert ports[Connection.L1].rating_a[0] == pytest.approx(10.0)
    assert ports[Connection.L1L2].rating_a[0] == pytest.approx(10.0 / np.sqrt(3))
    assert ports[Connection.THREE_PHASE].rating_a[0] == pytest.approx(10.0 / 3)
    power = np.array([1840.0, 0.0, 0.0, 0.0])
    assert ports[Connection.L1].fundamental_a(power)[0] == pytest.approx(8.0)
    low, high = np.array([184.0, 230, 230, 230]), np.array([253.0, 230, 230, 230])
    assert ports[Connection.L1].fundamental_a(power, low)[0] == pytest.approx(10.0)
    assert ports[Connection.L1].fundamental_a(power, high)[0] == pytest.approx(8.0)  # no credit for a high voltage


def test_room_beside_the_fundamental():
    room = rms_room_a(np.array([10.0, 10.0, 10.0, 10.0]), np.array([6.0, 10.0, 12.0, np.nan]))
    np.testing.assert_allclose(room, [8.0, 0.0, 0.0, 0.0])


def test_residual_and_filter_current_bound_the_lines():
    ports = FilterPorts(layout_with(Connection.L1L2))
    residual = np.zeros((4, 3))
    residual[2] = [1.0, 2.0, 0.5]
    bound = ports.line_bound_a(residual, np.array([3.0, 0.0, 0.0, 0.0]))
    np.testing.assert_allclose(bound[2], [4.0, 5.0, 0.5])
    np.testing.assert_allclose(residual[2], [1.0, 2.0, 0.5])
