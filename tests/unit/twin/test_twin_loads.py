"""Built-in loads and noise: reproducible at any instant, and of the size they say."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from builders import START, rack_site
from mimctl.model.connection import Connection
from mimctl.model.layout import ComplexArray, SiteLayout
from mimctl.model.site import TwinLoad, TwinSpec
from mimctl.twin.generator import GeneratedLoads
from mimctl.twin.loads import LoadNoise, LoadSet, load_seeds, reactive_factor

LOADS = tuple(
    TwinLoad(f"rack{r}", connection, 1000.0 * r, power_factor=0.95)
    for r in (1, 2, 3)
    for connection in (Connection.L1, Connection.L2, Connection.THREE_PHASE, Connection.L3L1)
)


class Fixed:
    """A source that never changes."""

    def __init__(self, loads: tuple[TwinLoad, ...], power: ComplexArray) -> None:
        self.loads, self.power = loads, power

    def at(self, t_s: float) -> ComplexArray:
        return self.power


def layout(**spec: float) -> SiteLayout:
    return SiteLayout(replace(rack_site(3), twin=TwinSpec(loads=LOADS, **spec)))  # type: ignore[arg-type]


def test_generated_loads_do_not_depend_on_the_order_of_asking() -> None:
    times = np.random.default_rng(5).uniform(0, 86400, 40)
    forward, backward = GeneratedLoads(LOADS, 7, START), GeneratedLoads(LOADS, 7, START)
    first = {float(t): forward.at(float(t)) for t in sorted(times)}
    for t in sorted(times, reverse=True):
        np.testing.assert_array_equal(backward.at(float(t)), first[float(t)])


def test_a_further_load_leaves_the_others_alone_and_the_seed_does_not() -> None:
    few, many = GeneratedLoads(LOADS[:3], 7, START), GeneratedLoads(LOADS, 7, START)
    np.testing.assert_array_equal(few.at(5000.0), many.at(5000.0)[:3])
    assert (GeneratedLoads(LOADS, 8, START).at(5000.0) != many.at(5000.0)).all()
    assert len(set(load_seeds((*LOADS, LOADS[0])))) == len(LOADS) + 1


def test_generated_loads_have_their_typical_mean_and_stay_between_base_and_peak() -> None:
    loads = GeneratedLoads(LOADS, 3, START)
    power = np.array([loads.at(float(t)) for t in range(0, 3 * 86400, 120)])
    typical = np.array([load.typical_w for load in LOADS])
    ratio = power.real / typical
    assert ratio.min() > 0.3
    assert ratio.max() <= 2.2
    assert ratio.mean() == pytest.approx(1.0, abs=0.1)
    np.testing.assert_allclose(power.imag / power.real, np.tan(np.arccos(0.95)))
    # jobs come and go: the load moves in steps, unlike on every phase
    assert (ratio.std(axis=0) > 0.05).all()


def test_the_day_peaks_in_the_afternoon() -> None:
    many = tuple(TwinLoad(f"n{i}", Connection.L1, 1000.0) for i in range(150))
    noon, midnight = GeneratedLoads(many, 1, datetime(2026, 1, 5, 15, tzinfo=UTC)), GeneratedLoads(many, 1, START.replace(hour=3))
    # the same random numbers, twelve hours apart on the clock
    assert noon.at(0.0).real.sum() > 1.05 * midnight.at(0.0).real.sum()


def test_power_factor_sign() -> None:
    assert reactive_factor(0.8) == pytest.approx(0.75)
    assert reactive_factor(-0.8) == pytest.approx(-0.75)
    assert reactive_factor(1.0) == 0


def test_noise_has_unit_variance_and_its_correlation_time() -> None:
    noise = LoadNoise(LOADS, 1, tau_s=20.0, step_s=1.0)
    track = np.array([noise.at(float(t)) for t in range(30_000)])
    assert track.std() == pytest.approx(1.0, abs=0.03)
    for lag in (1, 10, 40):
        found = (track[:-lag] * track[lag:]).mean()
        assert found == pytest.approx(np.exp(-lag / 20), abs=0.04)
    # the seams between blocks are no steps
    steps = np.abs(np.diff(track, axis=0))
    assert steps[255::256].mean() == pytest.approx(steps.mean(), rel=0.1)


@pytest.mark.parametrize("step_s", [1.0, 10.0])
def test_noise_does_not_depend_on_the_order_of_asking(step_s: float) -> None:
    one, other = (LoadNoise(LOADS, 1, tau_s=20.0, step_s=step_s) for _ in range(2))
    late = one.at(9000 * step_s).copy()
    other.at(0.0)
    np.testing.assert_array_equal(other.at(9000 * step_s), late)
    np.testing.assert_array_equal(one.at(0.5 * step_s), other.at(0.0))


def test_noise_is_relative_and_never_turns_a_load() -> None:
    power = np.full(len(LOADS), 500.0 + 100j)
    loads = LoadSet(layout(load_noise_pct=60.0), Fixed(LOADS, power))
    track = np.array([loads.at(float(t)) for t in range(2000)])
    assert track.real.min() == 0
    assert track.real.std() == pytest.approx(300, rel=0.15)
    np.testing.assert_allclose(track.imag, track.real / 5)
    quiet = LoadSet(layout(), Fixed(LOADS, power), noise=False)
    np.testing.assert_array_equal(quiet.at(3.0), power)


def test_loads_stand_at_their_nodes_and_terminals() -> None:
    power = np.arange(1, len(LOADS) + 1) * (100 + 10j)
    loads = LoadSet(layout(), Fixed(LOADS, power), noise=False)
    at_nodes = loads.node_load(0.0)
    for r, name in enumerate(("rack1", "rack2", "rack3")):
        l1, l2, three, l3l1 = power[4 * r : 4 * r + 4]
        share = np.array(Connection.L3L1.phase_shares())
        expected = np.array([l1, l2, 0]) + three / 3 + l3l1 * share
        np.testing.assert_allclose(at_nodes[loads.layout.node_index[name]], expected)
    assert at_nodes.sum() == pytest.approx(power.sum())
    pairs = loads.terminals.pair_power(power)
    assert pairs is not None
    assert pairs[loads.layout.node_index["rack1"], 2] == power[3]


def test_memory_of_a_day_is_not_materialised() -> None:
    many = tuple(TwinLoad(f"n{i}", Connection.L1, 1000.0) for i in range(50))
    loads = GeneratedLoads(many, 1, START)
    for t in range(0, 86400, 1800):
        loads.at(float(t))
    assert loads._epoch.cache_info().currsize <= 2
