"""Meters and MIMs that fall silent, second by second: limit of age 5 s, release at 15 s."""

from __future__ import annotations

import numpy as np
import pytest
from safety_cases import NOW_S, Scene, at, codes, power, rack_site
from safety_checker import complaints

from mimctl.forecast.outputs import OutputModel
from mimctl.forecast.tracker import LoadTracker
from mimctl.model.plan import SafePlan
from mimctl.model.sample import Quality
from mimctl.safety.judge import Accepted, SafetySettings

LOAD = np.array([[0] * 3, [0] * 3, [2300.0, 900, 900], [2300.0, 900, 900]], dtype=complex)
MOVE = np.array([800, -400, -400, 600, -300, -300], dtype=complex)


def silent_meters(age_s: float, names: tuple[str, ...], max_age_s: float = 5.0) -> tuple[Scene, SafePlan]:
    """These meters last spoke `age_s` ago, the MIMs just now; the plan is made of what is left and means nothing."""
    s = Scene(rack_site(), LOAD, MOVE, MOVE * 1.2, SafetySettings(max_data_age_s=max_age_s))
    mute = np.isin([n.id for n in s.layout.nodes], names)
    s.nodes(taken_at_s=np.where(mute, NOW_S - age_s, s.state.nodes.taken_at_s))
    if age_s > max_age_s:
        gone = {
            name: at(getattr(s.state.nodes, name), mute, np.nan)
            for name in ("import_w", "import_var", "voltage_ln_v", "current_a", "neutral_a", "thd_v_pct", "thd_i_pct")
        }
        s.nodes(quality=at(s.state.nodes.quality, mute, int(Quality.BAD)), **gone)
    s.forecast = LoadTracker(s.operators, OutputModel(s.layout)).forecast(s.state)
    plan = s.run()
    assert complaints(s, plan) == []
    return s, plan


@pytest.mark.parametrize("names", [("r1", "r2"), ("pdu", "r1", "r2"), ("head", "pdu", "r1", "r2")])
def test_without_its_meters_a_mim_holds_until_the_data_is_too_old(names: tuple[str, ...]) -> None:
    for age_s in range(1, 20):
        _, plan = silent_meters(age_s, names)
        if age_s <= 5:
            assert plan.send.all()
        elif age_s <= 15:
            assert plan.refresh.all(), (age_s, plan.judgements)
            assert np.array_equal(power(plan), MOVE)
            assert "data.meter_stale" in codes(plan, "m1")
        else:
            assert plan.release.all()
            assert not power(plan).any()
            assert codes(plan, "m1")[0] == "data.meter_too_old"


def test_a_slower_controller_waits_in_proportion() -> None:
    assert silent_meters(29, ("r1", "r2"), max_age_s=10.0)[1].refresh.all()
    assert silent_meters(31, ("r1", "r2"), max_age_s=10.0)[1].release.all()


def test_only_meters_above_are_lost_and_mims_may_give_back() -> None:
    """The racks' own meters still see everything: no more is asked, less is allowed."""
    s, plan = silent_meters(8, ("head", "pdu"))
    assert np.array_equal(power(plan), MOVE)
    assert codes(plan, "m1") == ["data.flow_unknown", "limit.shrink_only"]
    s.plan_va = MOVE / 2
    s.plan, s.bounds = s._plan(), s._bounds()
    assert np.array_equal(power(s.run()), MOVE / 2)


def test_what_the_racks_show_still_forbids_feeding_back() -> None:
    """Both racks trip while the meters above are silent: 1400 W would go into the feed on L1."""
    s, _ = silent_meters(8, ("head", "pdu"))
    gone = s.operators.flow(LOAD * 0, MOVE)
    racks = np.isin([n.id for n in s.layout.nodes], ["r1", "r2"])[:, None]
    s.nodes(import_w=np.where(racks, gone.real, np.nan), import_var=np.where(racks, gone.imag, np.nan))
    s.forecast = LoadTracker(s.operators, OutputModel(s.layout)).forecast(s.state)
    plan = s.run()
    assert plan.release.all()
    assert "limit.reverse_power" in codes(plan, "m1")


def test_a_mim_that_does_not_answer_is_left_to_its_own_timer() -> None:
    for age_s in range(1, 20):
        s = Scene(rack_site(), LOAD, MOVE, MOVE * 1.2)
        taken, quality = np.array([NOW_S - age_s, NOW_S]), np.full(2, int(Quality.GOOD))
        s.mims(taken_at_s=taken, quality=at(quality, 0, int(Quality.BAD)) if age_s > 5 else quality)
        s.accepted = Accepted(MOVE, np.full(2, NOW_S - min(age_s, 8)))
        plan = s.run()
        assert complaints(s, plan) == []
        heard = (plan.send[0], plan.refresh[0], plan.release[0])
        assert heard == ((True, False, False) if age_s <= 5 else (False, False, age_s > 15))
        assert plan.send[1]
