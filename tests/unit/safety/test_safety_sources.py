"""The judge looks at the transfer devices himself, whatever the bounds say. Figures by hand at 230 V."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from safety_cases import Scene, codes, power, rack_site

from mimctl.model.address import DeviceAddress
from mimctl.model.sample import Quality
from mimctl.model.state import TransferImage
from mimctl.model.transfer import Transfer, TransferKind, TransferSource, TransferState

SOURCES = (
    TransferSource(TransferState.NORMAL, None, None),
    TransferSource(TransferState.ALTERNATE, 13.8e3, 100.0),
    TransferSource(TransferState.GENERATOR, 27.6e3, 0.0),
)


def scene(
    state: TransferState,
    plan: list[complex],
    *,
    node: str = "head",
    load_w: float = 1000.0,
    quality: Quality = Quality.GOOD,
    age_s: float = 0.2,
    feed_takes_w: float = 1500.0,
) -> Scene:
    """Both racks draw `load_w` on every phase; the MIM of rack r1 is planned to give `plan`; the feed takes power back."""
    device = Transfer("ats", TransferKind.ATS, node, SOURCES, DeviceAddress("gw", 9), codes=((1, TransferState.NORMAL),))
    site = replace(rack_site(reverse_power_limit_w=feed_takes_w), transfers=(device,))
    load_va = np.zeros((4, 3), dtype=complex)
    load_va[2:] = load_w
    made = Scene(site, load_va, np.zeros(6, complex), np.array([*plan, 0, 0, 0], complex))
    image = TransferImage(
        np.array([int(state)]), np.array([int(quality)]), np.array([made.now_s - age_s]), np.array([np.nan]), np.array([50.0])
    )
    made.state = replace(made.state, transfers=image)
    return made.bound(head_min_import_w=np.full(len(made.layout.guarded), -np.inf))


def test_on_the_normal_source_the_limits_are_those_of_the_feed():
    plan = scene(TransferState.NORMAL, [800, 0, -800], load_w=100).run()
    assert power(plan)[0] == 800
    assert plan.judgements == ()


@pytest.mark.parametrize(("state", "least_w"), [(TransferState.ALTERNATE, -100), (TransferState.GENERATOR, 0)])
def test_what_flows_back_is_limited_by_the_source_that_is_on(state, least_w):
    """Two racks of 100 W on L1: giving 800 W would leave −600 W."""
    plan = scene(state, [800, 0, -800], load_w=100).run()
    assert 200 - power(plan)[0].real == pytest.approx(least_w, abs=6)
    assert "limit.reverse_power" in codes(plan, "m1")


def test_what_can_be_given_is_limited_by_the_source_that_is_on():
    """13.8 kVA are 20 A or 4600 W a phase, of which the load has 4400 W."""
    plan = scene(TransferState.ALTERNATE, [150, 0, -150], load_w=2200).run()
    assert power(plan)[2] == -150
    plan = scene(TransferState.ALTERNATE, [800, 0, -800], load_w=2200).run()
    assert 4400 - power(plan)[2].real == pytest.approx(4600, abs=6)


@pytest.mark.parametrize(
    "unsure",
    [{"quality": Quality.BAD}, {"age_s": 6.0}, {"age_s": np.nan}, {"state": TransferState.UNKNOWN}],
    ids=["bad", "old", "never", "unknown"],
)
def test_what_nobody_can_tell_is_the_worst_of_all_sources(unsure):
    state = unsure.pop("state", TransferState.NORMAL)
    plan = scene(state, [800, 0, -800], load_w=100, **unsure).run()
    assert 200 - power(plan)[0].real == pytest.approx(0, abs=6)
    # 13.8 kVA are 20 A a phase, which the load has already
    plan = scene(state, [800, 0, -800], load_w=2300, **unsure).run()
    assert power(plan)[2] == pytest.approx(0, abs=6)


def test_nothing_is_energised_behind_what_is_open_though_there_is_voltage():
    made = scene(TransferState.OPEN, [100, 0, -100], node="pdu")
    made.accepted = replace(made.accepted, setpoint_va=np.array([50, 0, -50, 0, 0, 0], complex))
    plan = made.run()
    assert plan.release.tolist() == [True, True]
    assert codes(plan, "m1") == ["interlock.source_open"]
    assert "ats" in plan.judgements[0].reason.text


def test_behind_a_faulty_device_nothing_grows():
    plan = scene(TransferState.FAULT, [100, 0, -100]).run()
    assert not power(plan).any()
    assert "interlock.source_faulty" in codes(plan, "m1")


def test_a_device_inside_the_tree_limits_its_own_node():
    """The head would take 1500 W back a phase; the generator at the PDU takes none."""
    plan = scene(TransferState.GENERATOR, [800, 0, -800], node="pdu", load_w=100).run()
    assert 200 - power(plan)[0].real == pytest.approx(0, abs=6)
    assert "limit.reverse_power" in codes(plan, "m1")


@pytest.mark.parametrize(("hertz", "released"), [(50.0, False), (47.6, False), (47.4, True), (51.6, True), (np.nan, False)])
def test_a_frequency_out_of_band_releases_everything_behind_it(hertz, released):
    made = scene(TransferState.NORMAL, [100, 0, -100])
    plan = made.nodes(frequency_hz=np.array([hertz, np.nan, np.nan, np.nan])).run()
    assert plan.release.all() == plan.release.any() == released
    assert ("interlock.frequency" in codes(plan, "m1")) == released
