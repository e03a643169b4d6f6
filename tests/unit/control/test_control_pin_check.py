"""Setpoints that a MIM could never hold, refused with what would do."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.builders import rack_site

from mimctl.control.authority.pin_check import check_holdable
from mimctl.model.errors import UserError
from mimctl.model.site import Battery, LossModel

SITE = rack_site(1)
MIM = SITE.mims[0]
BATTERY = Battery("b", MIM.id, 5000.0, max_charge_w=3000.0, max_discharge_w=3000.0)


@pytest.mark.parametrize("wanted", [(1900, None, None), (600, -300, -300), (None, None, 2000), (1000, -1000, None)])
def test_what_the_other_ports_balance_is_let_through(wanted):
    check_holdable(SITE, MIM.id, wanted)


def test_a_sum_that_is_not_what_the_dc_side_gives_is_refused_with_what_it_must_be():
    with pytest.raises(UserError, match=r"^mim-rack1 has no battery: its 3 ports must sum to 0 W, not 1500 W; leave one port out"):
        check_holdable(SITE, MIM.id, (500, 500, 500))


def test_the_sum_covers_the_losses():
    """Standby 30 W and 1 % of 600 + 300 + 300 VA."""
    lossy = replace(MIM, losses=LossModel(standby_w=30.0, linear=0.01))
    site = replace(SITE, mims=(lossy,))
    check_holdable(site, MIM.id, (600 - 42, -300, -300))
    with pytest.raises(UserError, match="must sum to -42 W, its losses, not 0 W"):
        check_holdable(site, MIM.id, (600, -300, -300))


def test_a_battery_may_give_what_the_ports_do_not():
    site = replace(SITE, batteries=(BATTERY,))
    check_holdable(site, MIM.id, (900, 900, 900))
    # the sum of 1300 W would be there, but |1900 - 600·a| = |2200 + j520| = 2261 W / 230 V = 9.8 A
    with pytest.raises(UserError, match=r"cannot hold that: its neutral of 8\.7 A permits 88 % of it"):
        check_holdable(site, MIM.id, (1900, -600, 0))


def test_what_the_neutral_forbids_is_told_with_what_it_permits():
    """1500 W against -1500 W on another phase: 1500 · √3 / 230 = 11.3 A, and the neutral may carry 8.7 A: 76.98 %."""
    with pytest.raises(UserError, match=r"its neutral of 8\.7 A permits 76 % of it at most \(1154 W \+0 var at port 1"):
        check_holdable(SITE, MIM.id, (1500, -1500, 0))


def test_what_the_other_ports_cannot_take_is_told_with_what_they_can():
    with pytest.raises(UserError, match=r"its other ports and its neutral of 8\.7 A permit 35 % of it at most"):
        check_holdable(SITE, MIM.id, (1900, 1900, None))
