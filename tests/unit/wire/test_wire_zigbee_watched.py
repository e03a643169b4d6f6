"""The data types of what a device reports: as its cluster has them, and a wrong one that came first does not stay for ever."""

from __future__ import annotations

from collections import Counter

import pytest

from mimctl.wire.zigbee import mim_layout as layout
from mimctl.wire.zigbee import zcl
from mimctl.wire.zigbee.watched import Spot, Wanted, Watched

BOOLEAN = 0x10
VOLTAGE: Spot = (1, 0x0B04, None, 0x0505)
MASK: Spot = (1, 0x0B04, None, 0x0800)
ACKED: Spot = (1, layout.CLUSTER, layout.MANUFACTURER, layout.SEQUENCE_ACK)
SETPOINT: Spot = (1, layout.CLUSTER, layout.MANUFACTURER, layout.port_attribute(2, layout.SETPOINT_W))
#: of a cluster of which nothing is known here
FOREIGN: Spot = (1, 0xFD00, 0x1234, 7)


class Bench:
    def __init__(self) -> None:
        self.refused: Counter[str] = Counter()
        spots = (VOLTAGE, MASK, ACKED, SETPOINT, FOREIGN)
        self.watched = Watched("01", tuple(map(Wanted, spots)), lambda why, _: self.refused.update([why]))

    def raw(self, spot: Spot) -> int | None:
        told = self.watched.values.get(spot)
        return None if told is None else told.raw


@pytest.mark.parametrize(
    ("spot", "wrong", "right"),
    [
        (VOLTAGE, BOOLEAN, zcl.UINT16),
        (VOLTAGE, zcl.BITMAP8, zcl.UINT16),
        (VOLTAGE, zcl.ENUM8, zcl.UINT16),
        (ACKED, BOOLEAN, zcl.UINT8),
        (ACKED, zcl.INT8, zcl.UINT8),
        (SETPOINT, zcl.UINT24, zcl.INT24),
    ],
)
def test_a_first_report_of_a_type_that_the_cluster_does_not_have_is_not_believed(spot, wrong, right):
    bench = Bench()
    assert not bench.watched.take(spot, wrong, 1, 1.0)
    assert bench.raw(spot) is None
    assert bench.watched.take(spot, right, 23, 2.0)
    assert bench.raw(spot) == 23
    assert bench.refused == {"wrong data type": 1}


def test_a_mask_of_alarms_is_a_bitmap():
    assert Bench().watched.take(MASK, 0x19, 3, 1.0)


@pytest.mark.parametrize("kind", [zcl.UINT16, zcl.UINT24, zcl.INT16])
def test_a_measurement_may_be_wider_than_the_library_has_it(kind):
    assert Bench().watched.take(VOLTAGE, kind, 230, 1.0)


def test_a_type_that_came_first_gives_way_to_another_that_comes_three_times_in_a_row():
    bench = Bench()
    assert bench.watched.take(FOREIGN, BOOLEAN, True, 1.0)
    taken = [bench.watched.take(FOREIGN, zcl.UINT16, 230 + n, 2.0 + n) for n in range(4)]
    assert taken == [False, False, True, True]
    assert bench.raw(FOREIGN) == 233
    assert not bench.watched.take(FOREIGN, BOOLEAN, True, 9.0)


def test_single_reports_of_another_type_never_add_up():
    bench = Bench()
    for n in range(10):
        assert bench.watched.take(FOREIGN, zcl.UINT16, n, float(n))
        assert not bench.watched.take(FOREIGN, zcl.UINT8, 99, float(n))
        assert not bench.watched.take(FOREIGN, zcl.INT8, 99, float(n))
        assert not bench.watched.take(FOREIGN, zcl.UINT8, 99, float(n))
    assert bench.raw(FOREIGN) == 9


def test_a_device_that_came_back_may_have_another_type_at_once():
    bench = Bench()
    bench.watched.take(FOREIGN, BOOLEAN, True, 1.0)
    bench.watched.came()
    assert bench.raw(FOREIGN) == 1  # as old as it is, and believed as long
    assert bench.watched.take(FOREIGN, zcl.UINT16, 230, 2.0)
    assert not bench.watched.take(FOREIGN, BOOLEAN, True, 3.0)  # that was its one change
