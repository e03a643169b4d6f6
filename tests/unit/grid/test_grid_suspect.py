"""Who explains sums that do not add up: by the logic of the tree, worked out by hand for each case."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import rack_site

from mimctl.grid.sums import Sums, sums_of
from mimctl.grid.suspect import Conflict, conflicts
from mimctl.grid.tree import TreeOperators
from mimctl.model.layout import SiteLayout

LAYOUT = SiteLayout(rack_site(3, mims=False))
FEED, PDU, RACKS = 0, 1, (2, 3, 4)


def sums(without: tuple[int, ...] = ()) -> Sums:
    usable = ~np.isin(np.arange(5), without)
    return sums_of(TreeOperators(LAYOUT), usable)


def found(errors: dict[int, complex], *, hidden_at_pdu: float = 0.0, without: tuple[int, ...] = ()) -> list[Conflict]:
    """Conflicts with these errors (a phase each) on true loads of 1, 2 and 3 kW."""
    flow = np.array([6000, 6000, 1000, 2000, 3000], dtype=complex)[:, None] * np.ones((1, 3))
    flow[[FEED, PDU]] += hidden_at_pdu
    for n, error in errors.items():
        flow[n] += error
    these = sums(without)
    residual = these.residual_va(np.where(np.isin(np.arange(5), without)[:, None], 0, flow), np.zeros((5, 3)))
    tolerance = np.full(residual.shape, 50.0)
    return list(conflicts(these, residual, tolerance, (np.abs(residual) > 50).any(axis=1)))


def test_a_meter_in_two_sums_is_named() -> None:
    (conflict,) = found({PDU: 3000.0})
    assert list(conflict.errors_va) == [PDU]
    np.testing.assert_allclose(conflict.errors_va[PDU], 3000)
    assert not conflict.hidden_load


def test_one_rack_of_several_is_only_detected() -> None:
    (conflict,) = found({RACKS[1]: 1000.0})
    assert set(conflict.errors_va) == set(RACKS), "the pdu would disturb the feed's sum as well"
    assert conflict.explained
    assert not conflict.hidden_load, "a load cannot make the pdu show less than its racks"


def test_a_pdu_that_no_other_sum_checks_is_a_candidate_too() -> None:
    (conflict,) = found({RACKS[1]: 1000.0}, without=(FEED,))
    assert set(conflict.errors_va) == {PDU, *RACKS}


def test_a_load_that_the_site_file_does_not_know_is_thought_of() -> None:
    (conflict,) = found({}, hidden_at_pdu=400.0)
    assert conflict.hidden_load
    assert conflict.nodes == (PDU,)


def test_two_wrong_meters_are_explained_by_none_alone() -> None:
    (conflict,) = found({FEED: 700.0, RACKS[0]: -900.0})
    assert not conflict.explained
    assert set(conflict.errors_va) == {FEED, PDU, *RACKS}


def test_the_sum_passes_over_a_pdu_without_a_reading() -> None:
    these = sums(without=(PDU,))
    assert list(these.nodes) == [FEED]
    assert set(np.flatnonzero(these.members[0])) == {FEED, *RACKS}


def test_a_rack_without_a_reading_leaves_no_sum_over_it() -> None:
    assert list(sums(without=(RACKS[0],)).nodes) == [FEED]


@settings(derandomize=True, max_examples=30)
@given(st.lists(st.complex_numbers(max_magnitude=5000, allow_nan=False), min_size=9, max_size=9))
def test_exact_and_consistent_meters_leave_no_residual(loads: list[complex]) -> None:
    flow = np.zeros((5, 3), dtype=complex)
    flow[2:] = np.array(loads).reshape(3, 3)
    flow[FEED] = flow[PDU] = flow[2:].sum(axis=0)
    np.testing.assert_allclose(sums().residual_va(flow, np.zeros((5, 3))), 0, atol=1e-9)
