"""What stands above the zones is granted without what harmonics take of it, and without what its flow may be off by."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from tests.builders import state_of
from tests.unit.control.levels import zoned_site

from mimctl.control.levels.above import Above
from mimctl.control.levels.orders import TakenFromHeads, nothing_taken
from mimctl.control.levels.site_picture import PictureMaker, SitePicture
from mimctl.grid.tree import TreeOperators
from mimctl.model.decision import DecisionRecord
from mimctl.model.layout import SiteLayout
from mimctl.model.zoning import restrict

SITE = zoned_site(2)
LAYOUT = SiteLayout(SITE)
FEED = LAYOUT.node_index[SITE.feeds[0].node]


@dataclass
class Silent:
    """A zone that tells nothing."""

    id: str
    layout: SiteLayout
    operators: TreeOperators
    recent: tuple[DecisionRecord, ...] = ()
    silent_after_s: float = 5.0
    taken: TakenFromHeads = field(default_factory=lambda: nothing_taken(1))

    held: complex = 0j

    def output_va(self, _instant_s: float, *, sure: bool = False) -> np.ndarray:
        return np.full(len(self.layout.ports), self.held)

    in_force_va = output_va


def picture(held: complex = 0j, **nodes: np.ndarray) -> SitePicture:
    """3000 W on each phase of everything; `nodes` as the meters above the zones have them; `held` by every port."""
    layouts = [SiteLayout(restrict(SITE, zone)) for zone in SITE.zones]
    pairs = zip(SITE.zones, layouts, strict=True)
    zones = [Silent(zone.id, layout, TreeOperators(layout), held=held) for zone, layout in pairs]
    state = state_of(SITE, np.full((len(LAYOUT.nodes), 3), 3000 + 0j))
    state = replace(state, nodes=replace(state.nodes, **nodes))
    return PictureMaker(Above(TreeOperators(LAYOUT)), zones).picture(state, 100.0)


def everywhere(value: float, at: int | None = None) -> np.ndarray:
    rows = np.zeros((len(LAYOUT.nodes), 3))
    rows[slice(None) if at is None else at] = value
    return rows


def test_with_exact_meters_and_pure_sines_the_limits_are_the_ratings() -> None:
    assert (picture().bounds.node_limit_a[FEED] == LAYOUT.limit_a[FEED]).all()


def test_harmonics_take_their_part() -> None:
    """75 % of distortion in an rms current I are 0.6·I of harmonics."""
    rms_a = 0.5 * LAYOUT.limit_a[FEED]
    found = picture(thd_i_pct=everywhere(75.0), current_a=everywhere(rms_a)).bounds.node_limit_a[FEED]
    assert found == pytest.approx(np.sqrt(LAYOUT.limit_a[FEED] ** 2 - (0.6 * rms_a) ** 2))


def test_what_may_be_off_is_kept_free() -> None:
    """√(3² + 4²) kVA twice over are 10 kVA: 43.5 A at 230 V."""
    doubted = np.arange(len(LAYOUT.nodes)) == FEED
    sigmas = {"sigma_w": everywhere(3000.0), "sigma_var": everywhere(4000.0)}
    found = picture(doubted=doubted, estimated=~doubted & False, **sigmas).bounds.node_limit_a
    assert found[FEED] == pytest.approx(LAYOUT.limit_a[FEED] - 10_000 / 230)
    assert (found[FEED + 1] == LAYOUT.limit_a[FEED + 1]).all()


def test_where_nobody_knows_how_far_it_is_off_nothing_is_free() -> None:
    doubted = np.arange(len(LAYOUT.nodes)) == FEED
    unknown = everywhere(np.inf, FEED)
    found = picture(doubted=doubted, estimated=~doubted & False, sigma_w=unknown, sigma_var=unknown).bounds.node_limit_a
    assert (found[FEED] == 0).all()


def test_of_silent_zones_what_they_draw_until_they_let_go_is_kept_free() -> None:
    """A port on each phase of two racks draws 500 W: a kilowatt on top of the load; what they give is in the load already."""
    assert picture(held=-500.0).bounds.node_limit_a[FEED] == pytest.approx(LAYOUT.limit_a[FEED] - 1000 / 230)
    assert (picture(held=500.0).bounds.node_limit_a[FEED] == LAYOUT.limit_a[FEED]).all()


def test_of_silent_zones_of_which_nobody_knows_anything_all_that_they_can_do_is_kept_free() -> None:
    """Two ports of 2 kVA on each phase, either way: 4 kVA less, and 4 kW more that must be drawn."""
    bounds = picture(held=complex(np.nan, np.nan)).bounds
    assert bounds.node_limit_a[FEED] == pytest.approx(LAYOUT.limit_a[FEED] - 4000 / 230)
    assert bounds.node_neutral_limit_a[FEED] == pytest.approx(LAYOUT.neutral_limit_a[FEED] - 3 * 4000 / 230)
    assert bounds.head_min_import_w[0] == pytest.approx(4000)
