"""MIMs on a mesh: told by reports, late by a distribution, and in force only when the answer is heard."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace

import numpy as np
import pytest
from tests.builders import START, rack_site

from mimctl.model.connection import Connection
from mimctl.model.errors import LinkDown, LinkTimeout
from mimctl.model.layout import SiteLayout
from mimctl.model.protocols import MimCommand
from mimctl.model.reason import Reason
from mimctl.model.sample import Sample
from mimctl.model.site import TwinLoad, TwinSpec
from mimctl.twin.drivers import PlantDriverGroup
from mimctl.twin.firmware import MimFleet
from mimctl.twin.generator import GeneratedLoads
from mimctl.twin.loads import LoadSet
from mimctl.twin.mesh_drivers import MeshMim, MeshWay
from mimctl.twin.plant import Plant

LOADS = (TwinLoad("rack1", Connection.L1, 3000.0),)
COMMAND = MimCommand((500.0, 0.0, -500.0), (0.0, 0.0, 0.0), 20.0, Reason("test.because", "a test wants it"))


class Mesh:
    """One MIM behind a coordinator."""

    def __init__(self, way: MeshWay | None = None, loss: float = 0.0, seed: int = 1) -> None:
        site = replace(rack_site(1), twin=TwinSpec(loads=LOADS, load_noise_pct=0.0, meter_noise_pct=0.0))
        layout = SiteLayout(site)
        self.fleet = MimFleet(layout)
        self.plant = Plant(layout, LoadSet(layout, GeneratedLoads(LOADS, 1, START), noise=False), fleet=self.fleet)
        self.plant.instruments.loss[:] = loss
        self.group = PlantDriverGroup(self.plant)
        self.mim = MeshMim(self.group, self.fleet, 0, layout.mims[0].id, way or MeshWay(), np.random.default_rng(seed))
        self.group.replace(self.mim)

    def read(self, t_s: float) -> Sample:
        self.plant.advance_to(t_s)
        self.group.capture()
        return asyncio.run(self.group.drivers[self.mim.device].read())

    def apply(self) -> None:
        asyncio.run(self.mim.apply(COMMAND))


def test_a_quiet_device_reports_at_its_interval():
    mesh = Mesh()
    assert [mesh.read(float(t)).taken_at_s for t in range(12)] == [0, 0, 0, 0, 0, 5, 5, 5, 5, 5, 10, 10]
    assert mesh.plant.instruments.frames.sum() == 3


def test_a_change_is_told_at_once_but_not_each_instant():
    mesh = Mesh()
    mesh.read(0.0)
    mesh.apply()
    taken = [mesh.read(0.25 * n).taken_at_s for n in range(1, 17)]
    gaps = np.diff(sorted({0.0, *taken}))
    assert len(gaps) >= 2
    assert gaps.min() >= 1.0
    assert mesh.read(4.25).get("active_power.port1") == pytest.approx(500, abs=20)


def test_a_command_acts_after_its_way():
    mesh = Mesh(MeshWay(hop_s=0.2, spread=0.0, most_hops=1))
    mesh.read(0.0)
    mesh.apply()
    mesh.plant.advance_to(0.19)
    assert not mesh.fleet.enabled[0]
    mesh.plant.advance_to(0.21)
    assert mesh.fleet.setpoint_va.tolist() == [500, 0, -500]


def test_an_answer_that_is_too_late_proves_nothing_though_the_command_arrived():
    mesh = Mesh(MeshWay(hop_s=0.5, spread=0.0, most_hops=1, patience_s=0.9))
    mesh.read(0.0)
    with pytest.raises(LinkTimeout, match=r"no answer within 0\.9 s"):
        mesh.apply()
    mesh.plant.advance_to(1.0)
    assert mesh.fleet.enabled[0]


def test_commands_never_overtake_each_other():
    mesh = Mesh(MeshWay(hop_s=0.3, spread=0.8, patience_s=math.inf), seed=3)
    mesh.read(0.0)
    seen: list[float] = []
    for n in range(150):
        if n < 40:
            asyncio.run(mesh.mim.apply(replace(COMMAND, inject_w=(float(n), 0.0, float(-n)))))
        mesh.plant.advance_to(0.1 * (n + 1))
        seen.append(float(mesh.fleet.setpoint_va[0].real))
    assert seen == sorted(seen)
    assert seen[-1] == 39.0


def test_frames_are_lost_either_way_and_counted():
    mesh = Mesh(loss=0.05)
    failures = 0
    for n in range(2000):
        mesh.plant.advance_to(float(n))
        try:
            mesh.apply()
        except LinkTimeout as error:
            failures += "lost" in error.what
    instruments = mesh.plant.instruments
    assert failures == pytest.approx(2000 * (1 - 0.95**2), rel=0.2)
    assert instruments.lost.sum() == pytest.approx(0.05 * instruments.frames.sum(), rel=0.2)
    assert mesh.mim.commands == 2000


def test_three_reports_that_nobody_heard_and_the_device_is_silent():
    mesh = Mesh()
    mesh.read(0.0)
    mesh.plant.instruments.loss[:] = 1.0
    assert mesh.read(15.0).taken_at_s == 0
    with pytest.raises(LinkTimeout, match="silent for 16 s"):
        mesh.read(16.0)
    mesh.plant.instruments.loss[:] = 0.0
    assert mesh.read(21.0).taken_at_s == 21


def test_before_its_first_report_and_while_its_link_is_down_there_is_nothing_to_read():
    mesh = Mesh(loss=1.0)
    with pytest.raises(LinkTimeout, match="not reported yet"):
        mesh.read(0.0)
    mesh.plant.instruments.mute[:] = 1
    with pytest.raises(LinkDown):
        mesh.read(1.0)
    with pytest.raises(LinkDown):
        mesh.apply()
