"""Whatever comes in, what goes out is inside every limit that the inputs can tell."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safety_cases import NOW_S, Scene, mim, node, power, site
from safety_checker import complaints

from mimctl.model.address import DeviceAddress
from mimctl.model.node import Transformer, Winding
from mimctl.model.phases import Rotation
from mimctl.model.plan import SafePlan, SolveStatus
from mimctl.model.site import Battery, LossModel
from mimctl.model.state import TransferImage
from mimctl.model.transfer import Transfer, TransferKind, TransferSource, TransferState
from mimctl.safety.judge import Accepted, SafetySettings

FAULTS = (
    "plan_garbage",
    "plan_huge",
    "plan_failed",
    "accepted_garbage",
    "accepted_huge",
    "stale_meter",
    "lost_meter",
    "bad_meter",
    "stale_mim",
    "bad_mim",
    "suspect",
    "dead_bus",
    "no_voltage",
    "band",
    "status",
    "disabled",
    "tripped",
    "wrong_forecast",
    "forecast_garbage",
    "overload",
    "harmonics",
    "wrong_bounds",
    "narrow_bounds",
    "garbage_bounds",
    "soc",
    "locked",
    "off_output",
    "deadband",
    "source",
    "frequency",
)
CONNECTIONS = ("L1", "L2", "L3", "L1L2", "L2L3", "L3L1", "3ph")


def random_site(r: random.Random):
    """One or two feeds, up to nine nodes, perhaps a delta transformer, up to five MIMs of one to four ports."""
    nodes = [node("n0", None, r.choice([20.0, 60.0]))]
    if r.random() < 0.4:
        nodes.append(node("n1", None, 60.0))
    for i in range(len(nodes), len(nodes) + r.randint(1, 6)):
        parent = r.choice(nodes).id
        delta = Transformer(Winding.DYN, 20e3, clock=r.choice([11, 1])) if r.random() < 0.2 else None
        neutral = r.choice([None, 6.0, 20.0])
        nodes.append(node(f"n{i}", parent, r.choice([6.0, 10.0, 20.0]), transformer=delta, neutral_rating_a=neutral))
    mims = []
    for m in range(r.randint(1, 5)):
        ports = [(r.choice(nodes).id, r.choice(CONNECTIONS)) for _ in range(r.choice([1, 2, 3, 3, 3, 4]))]
        if r.random() < 0.6:
            at = r.choice(nodes).id
            ports = [(at, "L1"), (at, "L2"), (at, "L3")]
        extra = {"losses": LossModel(10.0, 0.01)} if r.random() < 0.5 else {}
        if r.random() < 0.3:
            extra["ramp_w_per_s"] = r.choice([50.0, 300.0])
        if r.random() < 0.3:
            extra["neutral_rating_a"] = r.choice([2.0, 5.0])
        mims.append(mim(f"m{m}", *ports, rating_va=r.choice([300.0, 1000.0, 2500.0]), **extra))
    batteries = [Battery(f"b{m.id}", m.id, 5e3, 800.0, 800.0) for m in mims if r.random() < 0.3]
    unmetered = frozenset(n.id for n in nodes[1:] if r.random() < 0.15)
    return site(
        tuple(nodes),
        tuple(mims),
        batteries=tuple(batteries),
        unmetered=unmetered,
        rotation=r.choice(list(Rotation)),
        reverse_power_limit_w=r.choice([0.0, 0.0, 500.0]),
    )


def random_transfers(r: random.Random, where) -> tuple[Transfer, ...]:
    """One or two, anywhere in the tree."""
    found = []
    for t, place in enumerate(r.sample([n.id for n in where.nodes], r.randint(1, 2))):
        sources = (
            TransferSource(TransferState.NORMAL, None, r.choice([None, 0.0])),
            TransferSource(TransferState.BATTERY, r.choice([1500.0, 5000.0]), r.choice([0.0, 200.0])),
            TransferSource(TransferState.GENERATOR, r.choice([None, 3000.0]), r.choice([0.0, None])),
        )
        fixed = r.choice([None, None, *TransferState])
        address = None if fixed is not None else DeviceAddress("gw", 50 + t)
        found.append(Transfer(f"t{t}", TransferKind.ATS, place, sources, address, fixed))
    return tuple(found)


def random_setpoints(r: random.Random, where, size: float) -> np.ndarray:
    """(K,) in whole units; each MIM sums to zero, or nearly to what its battery may give."""
    setpoints: list[complex] = []
    for m in where.mims:
        own = [complex(r.uniform(-1, 1), r.choice([0, 0, 1]) * r.uniform(-1, 1)) * size * p.rating_va for p in m.ports]
        spare = sum(s.real for s in own) - (r.uniform(-700, 700) if any(b.mim == m.id for b in where.batteries) else 0.0)
        own = [complex(round(s.real - spare / len(own)), round(s.imag)) for s in own]
        setpoints += own
    return np.array(setpoints, complex)


def random_scene(seed: int, faults: tuple[str, ...]) -> Scene:
    r = random.Random(seed)
    where = random_site(r)
    if "source" in faults:
        where = replace(where, transfers=random_transfers(r, where))
    shape = (len(where.nodes), 3)
    load = np.array([[complex(r.uniform(0, 900), r.uniform(-50, 300)) for _ in range(3)] for _ in range(shape[0])])
    if "overload" in faults:
        load[r.randrange(shape[0]), r.randrange(3)] += 4000
    accepted = random_setpoints(r, where, r.choice([0.0, 0.3, 0.8]))
    wanted = random_setpoints(r, where, r.choice([0.1, 0.7, 2.0]))
    scene = Scene(where, load, accepted, wanted, SafetySettings(resolution=r.choice([1.0, 1.0, 10.0])))
    for fault in faults:
        spoil(scene, fault, r)
    return scene


def spoil(scene: Scene, fault: str, r: random.Random) -> None:  # noqa: PLR0912
    """One thing gone wrong."""
    state, layout = scene.state, scene.layout
    n, m, k = (r.randrange(len(x)) for x in (layout.nodes, layout.mims, layout.ports))
    c = r.randrange(3)
    nodes, mims = state.nodes, state.mims

    def put(values, where, value):
        copy = np.array(values, copy=True)
        copy[where] = value
        return copy

    junk = r.choice([np.nan, np.inf, -np.inf])
    flow = scene.operators.flow
    match fault:
        case "plan_garbage":
            scene.plan = replace(scene.plan, inject_w=put(scene.plan.inject_w, k, junk))
        case "plan_huge":
            scene.plan = replace(scene.plan, inject_var=put(scene.plan.inject_var, k, r.choice([1e5, 1e12, -1e300])))
        case "plan_failed":
            scene.plan = replace(scene.plan, status=SolveStatus.FAILED)
        case "accepted_garbage":
            scene.accepted = replace(scene.accepted, setpoint_va=put(scene.accepted.setpoint_va, k, junk))
        case "accepted_huge":
            scene.accepted = replace(scene.accepted, setpoint_va=put(scene.accepted.setpoint_va, k, 9000.0))
        case "stale_meter":
            scene.nodes(taken_at_s=put(nodes.taken_at_s, n, NOW_S - r.choice([6.0, 14.0, 30.0])))
        case "lost_meter":
            scene.nodes(quality=put(nodes.quality, n, 0), taken_at_s=put(nodes.taken_at_s, n, np.nan))
            scene.forecast = replace(scene.forecast, covered=put(scene.forecast.covered, n, r.random() < 0.5))
        case "bad_meter":
            scene.nodes(quality=put(nodes.quality, n, 0), import_w=put(nodes.import_w, (n, c), np.nan))
        case "stale_mim":
            scene.mims(taken_at_s=put(mims.taken_at_s, m, NOW_S - r.choice([6.0, 14.0, 30.0, -10.0, np.nan])))
        case "bad_mim":
            scene.mims(quality=put(mims.quality, m, 0)).ports(inject_w=put(state.ports.inject_w, k, np.nan))
        case "suspect":
            scene.mims(quality=put(mims.quality, m, 1)).nodes(quality=put(nodes.quality, n, r.choice([0, 1])))
        case "dead_bus":
            scene.nodes(voltage_ln_v=put(nodes.voltage_ln_v, (n, c), r.choice([0.0, 100.0])))
        case "no_voltage":
            scene.ports(voltage_v=put(state.ports.voltage_v, k, r.choice([np.nan, 40.0])))
            scene.nodes(voltage_ln_v=put(nodes.voltage_ln_v, n, np.nan))
        case "band":
            scene.nodes(voltage_ln_v=put(nodes.voltage_ln_v, (n, c), r.choice([195.0, 207.1, 252.9, 260.0])))
        case "status":
            scene.mims(command_status=put(mims.command_status, m, r.choice([1.0, 2.0, 3.0, np.nan])))
            changed_s = NOW_S - np.array([r.choice([0.05, 0.25, 2.0, np.inf]) for _ in layout.mims])
            scene.accepted = replace(scene.accepted, changed_at_s=r.choice([None, changed_s]))
        case "disabled":
            scene.bound(mim_enabled=put(scene.bounds.mim_enabled, m, False))
        case "tripped":
            gone = scene.load_va * put(np.ones_like(scene.load_va), n, 0.0)
            net = flow(gone, scene.accepted_va)
            scene.nodes(import_w=net.real.copy(), import_var=net.imag.copy())
        case "wrong_forecast":
            scene.forecast = replace(scene.forecast, load_w=scene.forecast.load_w * r.choice([-1.0, 0.0, 5.0, 100.0]))
        case "forecast_garbage":
            scene.forecast = replace(scene.forecast, load_var=put(scene.forecast.load_var, (n, c), junk))
        case "overload":
            pass
        case "harmonics":
            scene.nodes(
                thd_i_pct=put(nodes.thd_i_pct, n, r.choice([np.nan, 30.0, 300.0])),
                current_a=put(nodes.current_a, n, r.choice([np.nan, 5.0, 15.0])),
                neutral_a=put(nodes.neutral_a, n, r.choice([np.nan, 4.0, 30.0])),
            )
        case "wrong_bounds":
            b = scene.bounds
            wide = replace(b, port_s_max_va=b.port_s_max_va * 100, node_limit_a=b.node_limit_a * 100)
            scene.bounds = replace(wide, node_neutral_limit_a=np.full_like(b.node_neutral_limit_a, np.inf))
        case "narrow_bounds":
            scene.bound(
                port_s_max_va=put(scene.bounds.port_s_max_va, k, 50.0),
                node_limit_a=put(scene.bounds.node_limit_a, n, 1.0),
                step_max_va=put(scene.bounds.step_max_va, k, 100.0),
                head_min_import_w=np.full_like(scene.bounds.head_min_import_w, 200.0),
            )
        case "garbage_bounds":
            scene.bound(
                port_s_max_va=put(scene.bounds.port_s_max_va, k, np.nan),
                node_limit_a=put(scene.bounds.node_limit_a, n, np.nan),
                head_min_import_w=np.full_like(scene.bounds.head_min_import_w, np.nan),
            )
        case "soc":
            scene.batteries(soc_pct=np.array([r.choice([np.nan, 5.0, 99.0, 180.0]) for _ in layout.batteries]))
        case "locked":
            scene.options["locked"] = frozenset({r.choice([layout.nodes[n].id, layout.mims[m].id])})
        case "off_output":
            scene.ports(inject_w=put(state.ports.inject_w, k, state.ports.inject_w[k] + r.choice([50.0, -700.0])))
        case "source":
            count = len(scene.site.transfers)
            said = TransferImage(
                state=np.array([int(r.choice(list(TransferState))) for _ in range(count)]),
                quality=np.array([r.choice([0, 1, 2, 2, 2]) for _ in range(count)]),
                taken_at_s=np.array([NOW_S - r.choice([0.2, 0.2, 6.0, np.nan]) for _ in range(count)]),
                available_va=np.array([r.choice([np.nan, np.nan, 2000.0]) for _ in range(count)]),
                frequency_hz=np.full(count, 50.0),
            )
            scene.state = replace(scene.state, transfers=r.choice([None, said, said, said]))
        case "frequency":
            scene.nodes(frequency_hz=put(np.full(len(layout.nodes), 50.0), n, r.choice([47.0, 47.6, 52.0, np.nan])))
        case "deadband":
            scene.plan = replace(scene.plan, deadband_a=r.choice([0.5, 3.0, np.nan]))


def test_the_checker_sees_what_is_wrong() -> None:
    """Each line makes one safe plan unsafe; a checker that sees nothing proves nothing."""
    scene = random_scene(4, ())
    plan = scene.run()
    assert complaints(scene, plan) == []
    everyone, ports = np.ones(len(scene.layout.mims), dtype=np.bool_), len(scene.layout.ports)
    for wrong in (
        replace(plan, inject_w=plan.inject_w + 4000.0),
        replace(plan, inject_w=np.full(ports, np.nan)),
        replace(plan, inject_var=plan.inject_var + 0.5),
        replace(plan, send=everyone, refresh=everyone),
        replace(plan, send=~everyone, refresh=~everyone, release=~everyone),
        replace(plan, release=everyone, send=~everyone, refresh=~everyone),
    ):
        assert complaints(scene, wrong) != [], wrong


seeds = st.integers(0, 2**32 - 1)
fault_sets = st.lists(st.sampled_from(FAULTS), max_size=4, unique=True).map(tuple)


@settings(max_examples=500)
@given(seeds, fault_sets)
def test_what_goes_out_is_inside_every_limit(seed: int, faults: tuple[str, ...]) -> None:
    scene = random_scene(seed, faults)
    assert complaints(scene, scene.run()) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_by_itself(fault: str) -> None:
    for seed in range(8):
        scene = random_scene(seed, (fault,))
        assert complaints(scene, scene.run()) == [], seed


@settings(max_examples=60)
@given(seeds, fault_sets)
def test_cycle_after_cycle_it_stays_inside(seed: int, faults: tuple[str, ...]) -> None:
    """What was accepted is the next cycle's start; the second judgement of the same world must hold as well."""
    scene = random_scene(seed, faults)
    first = scene.run()
    carry_on(scene, first)
    assert complaints(scene, scene.run()) == []


def carry_on(scene: Scene, plan: SafePlan) -> None:
    """The devices take what was sent; samples stay as they are."""
    heard = (plan.send | plan.release)[scene.layout.port_mim]
    scene.accepted = Accepted(np.where(heard, power(plan), scene.accepted.setpoint_va), scene.accepted.written_at_s)


@settings(max_examples=60)
@given(seeds, fault_sets)
def test_emergency_stop_releases_all(seed: int, faults: tuple[str, ...]) -> None:
    scene = random_scene(seed, faults)
    scene.options["emergency_stop"] = True
    plan = scene.run()
    assert plan.release.all()
    assert not power(plan).any()
    assert not (plan.send | plan.refresh).any()


@settings(max_examples=60)
@given(seeds, fault_sets)
def test_every_clamp_has_its_reason(seed: int, faults: tuple[str, ...]) -> None:
    """A MIM that did not get the plan's setpoint, rounded, and was not kept by the deadband, is told why."""
    scene = random_scene(seed, tuple(f for f in faults if f != "deadband"))
    plan = scene.run()
    explained = {j.mim for j in plan.judgements}
    unit = scene.settings.resolution
    wanted = np.trunc(scene.plan.inject_w / unit) * unit + 1j * np.trunc(scene.plan.inject_var / unit) * unit
    differs = ~(np.abs(power(plan) - wanted) < 1e-6)
    for m, which in enumerate(scene.layout.mims):
        if differs[scene.layout.ports_of_mim[m]].any():
            assert which.id in explained
    order = [scene.layout.mim_index[j.mim] for j in plan.judgements if j.mim in scene.layout.mim_index]
    assert order == sorted(order)
    assert all(j.reason.code.count(".") == 1 and j.reason.text for j in plan.judgements)


@settings(max_examples=60)
@given(seeds)
def test_a_plan_that_improves_an_overload_passes(seed: int) -> None:
    """Load alone exceeds a phase; any plan that takes from that phase and is inside all other limits goes through whole."""
    r = random.Random(seed)
    c = r.randrange(3)
    nodes = (node("head", None, 200.0), node("rack", "head", 20.0))
    load = np.zeros((2, 3), complex)
    load[1] = 1000.0
    load[1, c] = r.uniform(16.1, 30.0) * 230
    help_w = float(r.randint(1, 700))
    wanted = np.zeros(3, complex)
    wanted[c], wanted[(c + 1) % 3] = help_w, -help_w
    helper = mim("m", ("rack", "L1"), ("rack", "L2"), ("rack", "L3"), neutral_rating_a=50.0)
    scene = Scene(site(nodes, (helper,)), load, wanted * 0, wanted)
    plan = scene.run()
    assert np.array_equal(power(plan), wanted)
    assert plan.judgements == ()
