"""The stage between reading and deciding: what is filled, what is flagged, what stays unknown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.control.estimator_case import Bench, hall

from mimctl.model.sample import Quality
from mimctl.model.state import SiteState


def run(
    bench: Bench, seconds: int, *, factor: dict[str, complex] | None = None, dead: tuple[str, ...] = (), seed: int = 1
) -> SiteState:
    """Some seconds of wandering loads; `factor`: what meters multiply the truth by."""
    wrong = np.ones((len(bench.layout.nodes), 1), dtype=complex)
    for name, by in (factor or {}).items():
        wrong[bench.layout.node_index[name]] = by
    for _, readings in bench.wandering(seconds, seed):
        state = bench.step(readings * wrong, dead=dead)
    return state


@settings(derandomize=True, max_examples=15)
@given(st.integers(0, 10**6))
def test_exact_and_consistent_meters_are_never_flagged(seed: int) -> None:
    bench, rng = Bench(hall()), np.random.default_rng(seed)
    for _ in range(20):
        load = rng.uniform(-500, 8000, (len(bench.racks), 3)) * np.exp(1j * rng.uniform(-1, 1, (len(bench.racks), 3)))
        state = bench.step(bench.flow(load))
    assert not bench.open("bad_meter", "node.estimated", "node.unknown")
    assert (state.nodes.quality == Quality.GOOD).all()
    assert state.nodes.margin_va() is None


@pytest.mark.parametrize(
    ("error_va", "vague", "accused"),
    [
        pytest.param(700j, True, False, id="vars shared out of a total"),
        pytest.param(700j, False, True, id="vars of the phase's own"),
        pytest.param(1500j, True, True, id="more than sharing explains"),
        pytest.param(700 + 0j, True, True, id="watts are told per phase"),
    ],
)
def test_vars_that_are_told_as_a_total_accuse_nobody(error_va: complex, vague: bool, accused: bool) -> None:
    bench = Bench(hall())
    row = bench.layout.node_index["rack01"]
    vague_var = np.zeros((len(bench.layout.nodes), 3))
    vague_var[row] = 800.0
    for _, readings in bench.wandering(25):
        readings[row, 0] += error_va
        bench.step(readings, **({"vague_var": vague_var} if vague else {}))
    assert bool(bench.open("bad_meter")) is accused


def test_every_value_says_how_sure_it_is() -> None:
    """0.3 % of reading and 0.05 % of rating: 0.003·|S| + 0.0005·63 A·230 V at a rack."""
    bench = Bench(hall())
    flow = bench.flow(np.full((6, 3), 3000 + 400j))
    nodes = bench.step(flow).nodes
    assert nodes.sigma_w is not None
    assert nodes.sigma_v is not None
    assert nodes.estimated is not None
    assert nodes.sigma_w[bench.racks[0], 0] == pytest.approx(0.003 * abs(3000 + 400j) + 0.0005 * 63 * 230)
    assert nodes.sigma_v[0, 0] == pytest.approx(0.003 * 230)
    assert not nodes.estimated.any()


def test_a_dead_rack_of_each_pdu_is_recovered_to_within_its_stated_deviation() -> None:
    bench, dead = Bench(hall()), ("rack01", "rack12")
    rows = [bench.layout.node_index[name] for name in dead]
    ratios = []
    for second, (truth, readings) in enumerate(bench.wandering(60)):
        state = bench.step(readings, dead=dead if second >= 10 else ())
        if second >= 10:
            nodes = state.nodes
            assert nodes.estimated is not None
            assert nodes.sigma_w is not None
            assert nodes.estimated[rows].all()
            assert nodes.estimated.sum() == 2
            ratios.append((nodes.import_w[rows] - truth[rows].real) / nodes.sigma_w[rows])
            assert (nodes.quality[rows] == Quality.SUSPECT).all()
    size = float(np.sqrt(np.mean(np.square(ratios))))
    assert 0.1 < size < 1.0, "the deviation is neither a guess nor far too small"
    assert np.abs(ratios).max() < 3.5
    assert {event.where for event in bench.open("node.estimated")} == set(dead)
    np.testing.assert_allclose(
        state.nodes.current_a[rows], np.hypot(state.nodes.import_w, state.nodes.import_var)[rows] / 230, rtol=0.01
    )
    assert state.bad_nodes() == list(dead), "an estimate is no reading"


def test_two_dead_under_one_total_are_estimated_until_the_past_is_too_old() -> None:
    """Loads that walk 300 W a second: after some minutes nothing of now tells how the two share their total."""
    bench, rng = Bench(hall()), np.random.default_rng(0)
    load = np.full((6, 3), 6000.0)
    rows, seen = [bench.layout.node_index[f"rack0{r}"] for r in (0, 1)], []
    for second in range(240):
        load = np.clip(load + 300 * rng.standard_normal(load.shape), 1000, 11000)
        nodes = bench.step(bench.flow(load.astype(complex)), dead=("rack00", "rack01") if second >= 30 else ()).nodes
        assert nodes.estimated is not None
        assert nodes.sigma_w is not None
        seen.append((nodes.estimated[rows].all(), nodes.sigma_w[rows[0], 0]))
    assert seen[32][0]
    assert seen[40][1] > 1.3 * seen[32][1], "less sure from second to second"
    assert not seen[-1][0]
    (event, other) = bench.open("node.unknown")
    assert {event.where, other.where} == {"rack00", "rack01"}
    assert "one total for it and rack01" in event.text


def test_what_nothing_determines_stays_unknown_and_the_reason_is_told() -> None:
    site = hall()
    site = replace(site, nodes=tuple(replace(n, own_load=True) if n.id == "pdu0" else n for n in site.nodes))
    bench = Bench(site)
    state = run(bench, 10, dead=("rack00",))
    assert np.isnan(state.nodes.import_w[bench.layout.node_index["rack00"]]).all()
    assert state.nodes.quality[bench.layout.node_index["rack00"]] == Quality.BAD
    (event,) = bench.open("node.unknown")
    assert "pdu0 may have a load of its own" in event.text


@pytest.mark.parametrize("factor", [1.5, 0.6, -1.0])
def test_a_wrong_pdu_meter_is_named_and_replaced(factor: float) -> None:
    """It stands in two sums: wrong from the first moment on, no other reading explains both."""
    bench = Bench(hall())
    state = run(bench, 20, factor={"pdu0": factor})
    at = bench.layout.node_index["pdu0"]
    (event,) = bench.open("bad_meter")
    assert event.where == "m-pdu0"
    below = [i for i, p in enumerate(bench.layout.parent) if p == at]
    np.testing.assert_allclose(state.nodes.import_w[at], state.nodes.import_w[below].sum(axis=0), rtol=0.01)
    assert state.nodes.estimated is not None
    assert state.nodes.estimated[at]
    assert ("looked the other way" if factor < 0 else f"{factor:.2f} times the truth") in event.text


def test_a_wrong_rack_meter_without_a_second_witness_is_only_detected() -> None:
    """Wrong from the first moment on: any rack under the pdu may be the one, and the event says so."""
    bench = Bench(hall())
    state = run(bench, 30, factor={"rack01": 1.5})
    racks = [bench.layout.node_index[f"rack0{r}"] for r in range(3)]
    (event,) = bench.open("bad_meter")
    assert event.where == "pdu0"
    assert all(f"m-rack0{r}" in event.text for r in range(3))
    assert "cannot be told" in event.text
    assert state.nodes.doubted is not None
    assert list(np.flatnonzero(state.nodes.doubted)) == racks
    margin, truth = state.nodes.margin_va(), state.nodes.import_w[racks[1]] / 1.5
    assert margin is not None
    assert (margin[racks[1]] >= 0.95 * 0.5 * truth).all(), "the margin covers what the true value may be"
    assert (state.nodes.quality[racks] == Quality.SUSPECT).all()


def test_a_rack_meter_that_goes_wrong_while_watched_is_named_by_its_own_jump() -> None:
    bench = Bench(hall())
    run(bench, 20)
    state = run(bench, 20, factor={"rack01": 1.5}, seed=1)
    assert [event.where for event in bench.open("bad_meter")] == ["m-rack01"]
    assert state.nodes.estimated is not None
    assert state.nodes.estimated[bench.layout.node_index["rack01"]]


def test_a_load_that_is_switched_on_at_a_pdu_convicts_nobody() -> None:
    bench = Bench(hall())
    at = bench.layout.node_index["pdu0"]
    for second, (_, readings) in enumerate(bench.wandering(60)):
        if second >= 20:
            readings[[0, at]] += 700.0
        bench.step(readings)
    (event,) = bench.open("bad_meter")
    assert event.where == "pdu0"
    assert "own_load: true" in event.text


def test_a_repaired_meter_is_used_again() -> None:
    bench = Bench(hall())
    run(bench, 20, factor={"pdu0": 1.5})
    assert bench.open("bad_meter")
    state = run(bench, 90)
    assert not bench.open("bad_meter")
    assert (state.nodes.quality == Quality.GOOD).all()


def test_bursty_load_and_skewed_samples_raise_no_false_alarm_in_an_hour() -> None:
    """Every phase steps by kilowatts every few seconds; every meter is read at its own instant, up to 0.9 s apart, one 3 s late."""
    bench = Bench(hall())
    rng, seconds, grain = np.random.default_rng(7), 3600, 10
    racks, ticks = len(bench.racks), 3600 * 10
    steps = rng.random((ticks, racks, 3)) < 1 / (4.0 * grain)
    level = rng.uniform(300, 6000, (ticks, racks, 3))
    held = np.maximum.accumulate(np.where(steps, np.arange(ticks)[:, None, None], 0), axis=0)
    load = np.take_along_axis(level, held, axis=0) * (1 + 0.2j)
    offset = rng.integers(1, 10, len(bench.layout.nodes))
    offset[bench.layout.node_index["rack12"]] += 30
    for second in range(4, seconds):
        ticks_of = (second + 1) * grain - offset
        flow = np.empty((len(offset), 3), dtype=complex)
        for tick in np.unique(ticks_of):
            at = ticks_of == tick
            flow[at] = bench.flow(load[tick])[at]
        flow *= 1 + 0.001 * rng.standard_normal(flow.shape)
        bench.step(flow, taken_s=(bench.clock.monotonic_s() + 1.0) - offset / grain)
    seen = [event.code for event in (*bench.events.open(), *bench.events.recent())]
    assert "bad_meter" not in seen


def test_an_estimated_node_keeps_the_harmonics_that_it_had_when_it_was_last_read() -> None:
    """30 % of 10 A are 3 A, and stay 3 A whatever the fundamental becomes; the neutral had 5 A that no fundamental explains."""
    bench = Bench(hall())
    lost = bench.layout.node_index["rack01"]
    flow = bench.flow(np.full((6, 3), 2300 + 0j))
    for second in range(20):
        dead = ("rack01",) if second >= 10 else ()
        alive = np.array([node.id not in dead for node in bench.layout.nodes])[:, None]
        thd = np.where(alive, 30.0, np.nan)
        state = bench.step(
            flow * (1.0 if second < 10 else 0.5), dead=dead, thd_i_pct=thd, neutral_a=np.where(alive[:, 0], 5.0, np.nan)
        )
        if second < 10:
            assert state.nodes.harmonic_a is None
    assert state.nodes.estimated is not None
    assert state.nodes.estimated[lost]
    assert state.nodes.harmonic_a is not None
    # the meter's current is rms: 10 A of it are 9.58 A of fundamental and 2.87 A of harmonics
    np.testing.assert_allclose(state.nodes.harmonic_a[lost], [2.873, 2.873, 2.873, 5.0], atol=0.01)
    others = np.arange(len(bench.layout.nodes)) != lost
    assert np.isnan(state.nodes.harmonic_a[others]).all()


def test_a_convicted_reading_that_nothing_stands_for_grows_old() -> None:
    """Its meter goes on to answer; a MIM that may not move on bad data must still be let go when that lasts."""
    bench = Bench(hall(1, 2))
    node = bench.layout.node_index["rack00"]
    wrong = np.ones((len(bench.layout.nodes), 1))
    for second, (_, readings) in enumerate(bench.wandering(60)):
        wrong[node] = 1.0 if second < 20 else 1.8
        state = bench.step(readings * wrong, dead=("feed", "pdu0") if second >= 40 else ())
        if second == 39:
            assert [event.where for event in bench.open("bad_meter")] == ["m-rack00"]
            assert state.nodes.estimated is not None
            assert state.nodes.estimated[node]
    assert state.nodes.quality[node] == Quality.BAD
    assert 20 <= state.node_age_s()[node] <= 40
    assert state.node_age_s()[bench.layout.node_index["rack01"]] < 2
