"""What is remembered of the decisions: every one of the latest, fewer of the older, within its bytes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from tests.loop.closed_loop import ClosedLoop, uneven_site

from mimctl.control.past.light_arrays import light, wide
from mimctl.control.past.memory import MOST_BYTES, Memory, share_bytes

START = datetime(2026, 1, 5, tzinfo=UTC)


@dataclass(frozen=True, eq=False)
class Thing:
    utc: datetime
    array: np.ndarray = field(default_factory=lambda: np.zeros(1))

    def arrays(self):
        yield self.array

    def text_bytes(self, before):
        return 0


def seconds(memory):
    return [(thing.utc - START).total_seconds() for thing in memory.records]


def filled(count, **bounds):
    memory = Memory(**bounds)
    for second in range(count):
        memory.add(Thing(START + timedelta(seconds=second)))
    return memory


def test_the_latest_are_kept_whole_and_the_older_ones_thinned():
    kept = seconds(filled(1000, most_records=100))
    assert len(kept) <= 100
    assert kept[-25:] == [float(s) for s in range(975, 1000)]
    gaps = np.diff(kept)
    # back to near the beginning, in steps that are longer there, and with no hole of more than a third of the whole time
    assert kept[0] < 500
    assert gaps[:5].mean() > 10 > gaps[-30:].max()
    assert gaps.max() < 333


def test_nothing_is_older_than_a_day():
    memory = Memory(most_records=8)
    for hour in range(60):
        memory.add(Thing(START + timedelta(hours=hour)))
    assert min(seconds(memory)) >= (59 - 24 - 8) * 3600


def test_bytes_count_shared_arrays_once_and_are_bounded():
    memory, shared = Memory(most_bytes=10_000), np.zeros(100)
    for second in range(50):
        memory.add(Thing(START + timedelta(seconds=second), shared))
    assert (len(memory), memory.nbytes) == (50, 800)
    for second in range(50, 150):
        memory.add(Thing(START + timedelta(seconds=second), np.zeros(100)))
        assert memory.nbytes <= 10_000
    # ten of 800 bytes and all that share one array are 8,800: there is room for about a dozen distinct ones
    assert len({id(thing.array) for thing in memory.records}) <= 12


def test_one_record_larger_than_the_bound_is_still_kept():
    memory = Memory(most_bytes=10)
    for second in range(5):
        memory.add(Thing(START + timedelta(seconds=second), np.zeros(100)))
    assert seconds(memory) == [3.0, 4.0]


def test_the_nearest_instant_is_found_after_the_wall_clock_was_put_back():
    memory = Memory()
    for second in (0, 10, 20, 12, 22):
        memory.add(Thing(START + timedelta(seconds=second)))
    assert memory.at(START + timedelta(seconds=11)) == 3
    assert memory.at(START - timedelta(days=1)) == 0
    assert memory.at(START + timedelta(days=1)) == 4
    with pytest.raises(LookupError):
        Memory().at(START)


def test_an_array_is_halved_shared_when_equal_and_widened_again():
    array = np.array([1.0, np.nan, np.inf, -2.5e5])
    small = light(array)
    assert (small.dtype, small.nbytes) == (np.float32, 16)
    assert light(array.copy(), small) is small
    assert light(array + 1, small) is not small
    np.testing.assert_array_equal(wide(small), array)
    assert wide(light(np.array([1 + 2j]))).dtype == np.complex128
    assert light(np.array([True])).dtype == np.bool_


def test_zones_and_the_site_level_share_the_bytes():
    site = uneven_site(3)
    whole, level = share_bytes(site, site), share_bytes(site)
    assert whole + level <= MOST_BYTES
    part = replace(site, nodes=site.nodes[:2], mims=site.mims[:1])
    assert 0 < share_bytes(site, part) < whole


async def test_a_zone_remembers_what_it_saw_wanted_and_wrote():
    loop = ClosedLoop(uneven_site())
    await loop.run(12)
    zone = loop.controller.zones[0]
    assert len(zone.memory) == 12
    light_one, full = zone.memory.newest, zone.recent[-1]
    assert (light_one.number, light_one.utc) == (full.number, full.state.utc)
    np.testing.assert_allclose(light_one.solve.forecast.load_w, full.forecast.load_w, rtol=1e-6)
    np.testing.assert_allclose(wide(light_one.solve.plan_va), full.plan.inject_w + 1j * full.plan.inject_var, rtol=1e-6)
    np.testing.assert_array_equal(wide(light_one.after_va), zone.cycle.dispatcher.held.setpoint_va)
    bounds = light_one.solve.bounds
    np.testing.assert_allclose(bounds.node_limit_a, full.bounds.node_limit_a, rtol=1e-6)
    assert bounds.restrictions == full.bounds.restrictions
    assert bounds.mim_enabled.tolist() == full.bounds.mim_enabled.tolist()


async def test_the_same_limits_are_kept_once():
    loop = ClosedLoop(uneven_site())
    await loop.run(8)
    first, last = loop.controller.zones[0].memory.records[-2:]
    for name in ("node_limit_a", "port_s_max_va", "weights", "mim_enabled"):
        assert last.solve.bounds_parts[name] is first.solve.bounds_parts[name]
    assert last.solve.before_va is first.after_va
    assert last.solve.anchor_va is first.solve.plan_va


def test_the_bytes_are_right_after_much_was_forgotten():
    memory, arrays = Memory(most_bytes=60_000, most_records=70), [np.zeros(100 + i % 7) for i in range(100)]
    for second in range(900):
        # each array is shared by nine records that follow each other
        memory.add(Thing(START + timedelta(seconds=second), arrays[second // 9]))
        unique = {id(thing.array): thing.array.nbytes for thing in memory.records}
        assert memory.nbytes == sum(unique.values())
