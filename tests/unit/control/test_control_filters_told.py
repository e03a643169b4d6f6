"""What the dispatcher remembers of harmonic shares."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from builders import rack_site
from mimctl.control.filtering.filters_told import FiltersTold
from mimctl.model.harmonics import HarmonicFilter, HarmonicShare
from mimctl.model.layout import SiteLayout
from mimctl.model.plan import NO_FILTER, HarmonicShares
from mimctl.model.protocols import HeldSetpoint

ZEROS = (0.0, 0.0, 0.0)
PLAN = HarmonicShares(np.array([0.5, 0.0, 0.25, np.nan, np.nan, np.nan]), np.array([4, 4, 20, 0, 0, 0], dtype=np.int64))


def told() -> FiltersTold:
    """Two MIMs of three ports; the first has a filter."""
    site = rack_site(2)
    return FiltersTold(
        SiteLayout(replace(site, mims=(replace(site.mims[0], harmonic_filter=HarmonicFilter((3, 5))), site.mims[1])))
    )


def shares(memory: FiltersTold) -> list[float]:
    assert memory.shares is not None
    return memory.shares.share[:3].tolist()


def test_a_command_carries_shares_for_filters_alone():
    memory = told()
    assert memory.command(0, PLAN) == (HarmonicShare(0.5, 4), HarmonicShare(0.0, 0), HarmonicShare(0.25, 20))
    assert memory.command(1, PLAN) is None
    assert memory.command(0, None) is None
    assert FiltersTold(SiteLayout(rack_site(1))).shares is None


def test_what_was_taken_is_what_is_held():
    memory = told()
    memory.holds(0, HeldSetpoint(ZEROS, ZEROS, harmonics=(HarmonicShare(0.5, 4),) * 3))
    assert shares(memory) == [0.5] * 3
    memory.silent(0)
    assert shares(memory) == [0.0] * 3
    memory.holds(0, None)
    assert np.isnan(shares(memory)).all()


def test_a_device_that_shows_no_share_is_never_told_one_again():
    memory = told()
    memory.holds(0, HeldSetpoint(ZEROS, ZEROS))
    assert memory.command(0, PLAN) is None
    memory.silent(0)
    assert memory.shares is not None
    assert np.isnan(memory.shares.share[:3]).all()
    assert (memory.shares.orders[:3] == NO_FILTER).all()
