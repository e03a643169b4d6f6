"""What stands above the zones is granted without what harmonics take of it, and without what its flow may be off by."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from tests.builders import state_of
from tests.unit.control.levels import zoned_site

from mimctl.control.above import Above
from mimctl.control.site_picture import PictureMaker, SitePicture
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

    def output_va(self, _instant_s: float) -> np.ndarray:
        return np.zeros(len(self.layout.ports), dtype=complex)

    in_force_va = output_va


def picture(**nodes: np.ndarray) -> SitePicture:
    """3000 W on each phase of everything; `nodes` as the meters above the zones have them."""
    layouts = [SiteLayout(restrict(SITE, zone)) for zone in SITE.zones]
    zones = [Silent(zone.id, layout, TreeOperators(layout)) for zone, layout in zip(SITE.zones, layouts, strict=True)]
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
