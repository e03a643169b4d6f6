"""Shares of harmonic filters: levels by hand, the closed form against the cone solver, targets, and rooms that are never passed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimctl.balance.harmonics import FilterProblem, cone_filling, least_effort, water_filling, water_level
from mimctl.model.plan import SolveStatus

#: what an interior-point solution at a gap of 1e-9 is exact to, of the largest current
CLOSE = 1e-4


def one_place(harmonic, room, *, weight=1.0, target=np.inf, effort=0.0) -> FilterProblem:
    """All ports at one place."""
    harmonic = np.atleast_2d(np.asarray(harmonic, dtype=complex))
    return FilterProblem(
        harmonic,
        np.broadcast_to(np.asarray(weight, dtype=float), harmonic.shape).copy(),
        np.ones((1, len(room))),
        np.asarray(room, dtype=float),
        np.array([target]),
        effort,
    )


class TestWaterLevel:
    @pytest.mark.parametrize(
        ("needed", "room", "level"),
        [
            (6.0, [4.0, 4.0, 4.0], 2.0),  # nobody is full
            (9.0, [1.0, 4.0, 6.0], 4.0),  # 1 full, 4 each of the others: the second just full
            (10.0, [1.0, 4.0, 6.0], 5.0),
            (20.0, [1.0, 4.0, 6.0], 6.0),  # not enough: everybody gives all
            (0.0, [1.0, 2.0], 0.0),
            (1.0, [0.0, 0.0, 3.0], 1.0),
        ],
    )
    def test_by_hand(self, needed: float, room: list[float], level: float) -> None:
        assert water_level(needed, np.array(room)) == pytest.approx(level)

    def test_nobody(self) -> None:
        assert water_level(3.0, np.zeros(0)) == 0.0


def test_all_orders_are_taken_in_one_proportion():
    """|H| = 5 A; rooms 1 and 3 A: both full, 4/5 of every order."""
    harmonic = np.array([3.0, 4j])
    found = water_filling(harmonic, np.array([1.0, 3.0]))
    np.testing.assert_allclose(found.sum(axis=0), 0.8 * harmonic)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [1.0, 3.0])


@settings(derandomize=True, max_examples=25, deadline=None)
@given(
    st.lists(st.floats(0.05, 4.0), min_size=1, max_size=5),
    st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), min_size=1, max_size=4),
)
def test_closed_form_and_cone_program_agree(room: list[float], phasors: list[tuple[float, float]]):
    """The remainder is unique; a little effort picks the least currents among its minimisers."""
    harmonic = np.array([complex(a, b) for a, b in phasors])
    closed = water_filling(harmonic, np.array(room))
    cone, status = cone_filling(one_place(harmonic, room, effort=1e-5))
    # where every port is full the solver may stop a little short of its gap, with the figures exact all the same
    assert status is not SolveStatus.FAILED
    # the program is in units of the largest current or room: its gap is so many of them, and the effort only 1e-5 of what is left
    scale = max(1.0, float(np.abs(harmonic).max()), *room)
    np.testing.assert_allclose(cone.sum(axis=0), closed.sum(axis=0), atol=CLOSE * scale)
    np.testing.assert_allclose((np.abs(cone) ** 2).sum(), (np.abs(closed) ** 2).sum(), atol=5 * CLOSE * scale**2)
    # so much more effort moves the currents by its root at most: the least effort is one point of a strictly convex function
    np.testing.assert_allclose(np.linalg.norm(cone, axis=1), np.linalg.norm(closed, axis=1), atol=np.sqrt(5 * CLOSE) * scale)
    free, _ = cone_filling(one_place(harmonic, room))
    left = [np.linalg.norm(harmonic - found.sum(axis=0)) ** 2 for found in (free, closed)]
    assert left[0] == pytest.approx(left[1], abs=1e-7 * scale**2)


def test_weights_turn_the_compensation_to_what_counts():
    """One port, 1 A of room, 3 A each of two orders, the first counting four times: W₁(3 − a) : W₂(3 − b) = a : b on the circle.

    With a = cos t, b = sin t the condition is 4(3 − cos t)·sin t = (3 − sin t)·cos t, or 3(4 tan t − 1) = 3 sin t: t = 0.3145.
    """
    angle = 0.3145
    for _ in range(50):  # fixed point of tan t = (1 + sin t)/4, from the same condition
        angle = np.arctan((1 + np.sin(angle)) / 4)
    found, _ = cone_filling(one_place([3.0, 3.0], [1.0], weight=[[4.0, 1.0]]))
    np.testing.assert_allclose(found[0], [np.cos(angle), np.sin(angle)], atol=1e-4)


class TestTargets:
    def test_no_more_than_the_target_asks_for(self) -> None:
        """10 A, 4 A permitted: 6 A over two ports alike."""
        found, _ = least_effort(one_place([10.0], [5.0, 5.0], weight=0.0, target=4.0, effort=1.0))
        np.testing.assert_allclose(found, [3.0, 3.0])

    def test_nothing_to_do(self) -> None:
        found, _ = least_effort(one_place([3.0], [5.0, 5.0], weight=0.0, target=4.0, effort=1.0))
        np.testing.assert_allclose(found, 0.0)

    def test_a_target_out_of_reach_takes_all_there_is(self) -> None:
        found, _ = least_effort(one_place([10.0], [1.0, 2.0], weight=0.0, target=4.0, effort=1.0))
        np.testing.assert_allclose(found, [1.0, 2.0])

    def test_nested_places(self) -> None:
        """A rack that needs 2 A of its port, its PDU 5 A of that and another: the rack's port counts twice and gives 2.5 A."""
        problem = FilterProblem(
            np.array([[4.0], [9.0]], dtype=complex),
            np.zeros((2, 1)),
            np.array([[1.0, 0.0], [1.0, 1.0]]),
            np.array([4.0, 4.0]),
            np.array([2.0, 4.0]),
        )
        found, status = least_effort(problem)
        assert status is SolveStatus.SOLVED
        np.testing.assert_allclose(found, [2.5, 2.5], atol=CLOSE)
        tight = FilterProblem(problem.harmonic, problem.weight, problem.effect, problem.room, np.array([0.5, 4.0]))
        np.testing.assert_allclose(least_effort(tight)[0], [3.5, 1.5], atol=10 * CLOSE)

    def test_an_ampere_that_counts_half(self) -> None:
        """Behind a winding two ports help with 1 and 0.5 A per ampere: x ∝ effect, 5 A needed → 4 and 2 A."""
        problem = FilterProblem(
            np.array([[9.0]], dtype=complex), np.zeros((1, 1)), np.array([[1.0, 0.5]]), np.array([8.0, 8.0]), np.array([4.0])
        )
        np.testing.assert_allclose(least_effort(problem)[0], [4.0, 2.0], atol=10 * CLOSE)


@settings(derandomize=True, max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_no_port_ever_passes_its_room(seed: int):
    rng = np.random.default_rng(seed)
    places, ports, orders = rng.integers(1, 4), rng.integers(1, 6), rng.integers(1, 4)
    problem = FilterProblem(
        rng.normal(size=(places, orders)) * 5 + 5j * rng.normal(size=(places, orders)),
        rng.uniform(0, 2, (places, orders)),
        rng.integers(0, 2, (places, ports)).astype(float),
        rng.uniform(0, 3, ports) * (rng.random(ports) > 0.2),
        np.where(rng.random(places) > 0.5, rng.uniform(0, 3, places), np.inf),
    )
    found, status = cone_filling(problem)
    assert status is not SolveStatus.FAILED
    assert (np.linalg.norm(found, axis=1) <= problem.room * (1 + 1e-12) + 1e-12).all()


def test_nothing_left_of_any_port():
    found, status = cone_filling(one_place([3.0], [0.0, 0.0]))
    assert status is SolveStatus.SOLVED
    assert not found.any()
