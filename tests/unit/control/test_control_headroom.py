"""The small parts of what people are told of breakers."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import numpy as np
import pytest
from tests.builders import START, rack_site
from tests.loop.closed_loop import ClosedLoop, uneven_site

from mimctl.control.feeds.load_shift import LoadShift, Overloads
from mimctl.control.lasting import Lasting
from mimctl.control.shared import SharedDriver, with_shared
from mimctl.grid.failover import Failover
from mimctl.grid.tree import TreeOperators
from mimctl.model.address import DeviceAddress
from mimctl.model.clock import VirtualClock
from mimctl.model.layout import SiteLayout
from mimctl.model.sample import Sample
from mimctl.model.site import Zone
from mimctl.model.transfer import Transfer, TransferKind, TransferSource, TransferState
from mimctl.service.status import site_status


def test_a_condition_counts_after_a_while_and_ends_after_a_while():
    lasting: Lasting[str] = Lasting(30.0, 60.0)
    assert lasting.look(0.0, {"a": "1"}) == {}
    assert lasting.look(29.0, {"a": "2"}) == {}
    assert lasting.look(30.0, {"a": "3"}) == {"a": "3"}
    assert lasting.look(40.0, {}) == {"a": "3"}
    assert lasting.look(89.0, {}) == {"a": "3"}
    assert lasting.look(90.0, {}) == {}


def test_what_goes_away_before_it_counts_starts_anew():
    lasting: Lasting[str] = Lasting(30.0, 60.0)
    lasting.look(0.0, {"a": "1"})
    lasting.look(20.0, {})
    assert lasting.look(40.0, {"a": "1"}) == {}
    assert lasting.look(70.0, {"a": "1"}) == {"a": "1"}


def shift_of(loads_a: dict[str, float], over_a: float) -> LoadShift:
    """The PDU of a hall whose racks draw these currents on L1, over its limit by so much."""
    layout = SiteLayout(rack_site(len(loads_a)))
    load_va = np.zeros((len(layout.nodes), 3), dtype=complex)
    for rack, amps in loads_a.items():
        load_va[layout.node_index[rack], 0] = amps * 230
    current_a = np.full((len(layout.nodes), 3), 1.0)
    pdu = layout.node_index["pdu"]
    current_a[pdu, 0] = layout.limit_a[pdu] + over_a
    return Overloads(TreeOperators(layout)).look(0.0, current_a, load_va)["pdu L1"]


@pytest.mark.parametrize(
    ("over_a", "racks", "enough"),
    [
        (5.0, ["rack3"], True),  # 6 A is the least that is enough
        (12.0, ["rack2"], True),
        (45.0, ["rack1", "rack3"], True),  # 40 A and the least of the others that makes it up
        (60.0, ["rack1", "rack2"], True),
        (75.0, ["rack1", "rack2", "rack3"], False),
    ],
)
def test_as_few_racks_as_are_enough_and_of_those_the_least_load(over_a, racks, enough):
    shift = shift_of({"rack1": 40.0, "rack2": 20.0, "rack3": 6.0}, over_a)
    assert [rack for rack, _ in shift.racks] == racks
    assert shift.enough is enough
    assert shift.over_a == pytest.approx(over_a)
    assert ("best from" in str(shift)) is enough


def test_what_a_lost_feed_brings_to_the_other_and_takes_from_it():
    """1 kW over from A; a MIM that gives 300 W to B out of A is gone."""
    site = rack_site(2, mims=True)
    split = [replace(n, parent=None) if n.id in ("rack1", "rack2") else n for n in site.nodes if n.id.startswith("rack")]
    bridge = replace(site.mims[0], ports=(site.mims[0].ports[0], site.mims[1].ports[0]))
    site = replace(site, nodes=tuple(split), meters=(), mims=(bridge,), redundant=(("rack1", "rack2"),))
    failover = Failover(TreeOperators(SiteLayout(site)))
    gross_va = np.array([[1000, 0, 0], [500, 100, 0]], dtype=complex)
    output_va = np.array([-300, 300], dtype=complex)
    after_a, lost = failover.current_a(np.array([[1300, 0, 0], [200, 100, 0]], dtype=complex), gross_va, output_va)
    assert after_a * 230 == pytest.approx(np.array([[1500, 100, 0], [1500, 100, 0]]))
    assert lost.tolist() == [1, 0]


class Counting:
    """A device that counts how often it is read."""

    device = "ats"

    def __init__(self, clock: VirtualClock) -> None:
        self.reads, self._clock = 0, clock

    async def read(self) -> Sample:
        self.reads += 1
        await asyncio.sleep(0)
        return Sample("ats", self._clock.monotonic_s(), ("status",), np.array([1.0]))


async def test_a_device_that_several_look_at_is_read_once_a_cycle():
    clock = VirtualClock(START)
    device = Counting(clock)
    shared = SharedDriver(device, clock, fresh_s=0.5)
    first, second = await asyncio.gather(shared.read(), shared.read())
    assert first is second
    assert device.reads == 1
    clock.advance_to(clock.monotonic_s() + 1.0)
    await shared.read()
    assert device.reads == 2


def transfer() -> Transfer:
    sources = (TransferSource(TransferState.NORMAL, None, None),)
    return Transfer("ats", TransferKind.ATS, "feed", sources, DeviceAddress("gw", 50), codes=((1, TransferState.NORMAL),))


def test_only_what_several_zones_see_is_shared():
    site = replace(rack_site(2), transfers=(transfer(),))
    loop = ClosedLoop(replace(uneven_site(2), transfers=(transfer(),)))
    clock = VirtualClock(START)
    assert with_shared(site, [loop.group], clock, None)[0] is loop.group
    halves = replace(site, zones=(Zone("z1", ("rack1",)), Zone("z2", ("rack2",))))
    (group,) = with_shared(halves, [loop.group], clock, None)
    assert isinstance(group.drivers["ats"], SharedDriver)
    assert group.drivers["m-rack1"] is loop.group.drivers["m-rack1"]


async def test_status_tells_it_all_in_plain_values():
    site = uneven_site()
    site = replace(
        site, transfers=(transfer(),), nodes=tuple(replace(n, rating_a=25.0) if n.id == "pdu" else n for n in site.nodes)
    )
    loop = ClosedLoop(site)
    await loop.run(40)
    status = json.loads(json.dumps(site_status(loop.controller, loop.events, {})))["zones"]["z"]
    ats = status["transfers"]["ats"]
    assert (ats["state"], ats["quality"], ats["node"], ats["frequency_hz"]) == ("normal", "good", "feed", 50.0)
    assert ats["age_s"] < 3
    assert status["load_shift"][0]["node"] == "pdu"
    assert "move at least" in status["load_shift"][0]["text"]
    pdu = status["nodes"]["pdu"]
    assert pdu["firm_over_a"][0] > 10
    assert pdu["relied_on_min"] >= 0
