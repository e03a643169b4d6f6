"""Virtual devices behind their registers: the firmware's rules as a Modbus client meets them, and what instruments show."""

from __future__ import annotations

import math
import struct
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from builders import rack_site
from mimctl.model.clock import VirtualClock
from mimctl.model.connection import Connection
from mimctl.model.errors import DeviceRefusal, UserError
from mimctl.model.layout import ComplexArray, SiteLayout
from mimctl.model.phases import PHASES, Phase
from mimctl.model.profile import DeviceClass, DeviceProfile, PointSpec, PointType, Provenance, RegisterMap
from mimctl.model.site import Battery, ExpiryAction, PortSpec, Site, TwinLoad, TwinSpec
from mimctl.twin.devices import virtual_devices
from mimctl.twin.firmware import MimFleet
from mimctl.twin.images import exponent_for
from mimctl.twin.loads import LoadSet
from mimctl.twin.meters import MeterBank
from mimctl.twin.mims import MimBank
from mimctl.twin.picture import World
from mimctl.twin.plant import Plant
from mimctl.twin.server import is_loopback
from mimctl.wire.registers import CompiledMap
from mimctl.wire.sunspec import ModelBlock
from mimctl.wire.sunspec_map import model_map

LOADS_W = {Connection.L1: 3000.0, Connection.L2: 1000.0, Connection.L3: 2000.0}


class Steady:
    """Loads that never move."""

    def __init__(self, loads: tuple[TwinLoad, ...]) -> None:
        self.loads = loads

    def at(self, t_s: float) -> ComplexArray:
        return np.array([load.typical_w * (1 + 0.5j) for load in self.loads])


class Twin:
    """A small site: feed, PDU, two racks; loads at the first rack alone."""

    def __init__(self, site: Site | None = None, profiles: dict[str, DeviceProfile] | None = None) -> None:
        base = site or small_site()
        loads = tuple(TwinLoad("rack1", c, w, harmonic_pct=((3, 30.0), (5, 40.0))) for c, w in LOADS_W.items())
        self.site = replace(base, twin=replace(base.twin, loads=loads))
        layout = SiteLayout(self.site)
        self.clock = VirtualClock(datetime(2026, 1, 5, tzinfo=UTC), 1000.0)
        self.fleet = MimFleet(layout)
        self.plant = Plant(layout, LoadSet(layout, Steady(loads), noise=False), fleet=self.fleet)
        self.world = World(self.plant, self.clock)
        devices = virtual_devices(layout, self.world, profiles or {}, seed=5)
        self.banks, self.kinds = {d.id: d.bank for d in devices}, {d.id: d.kind for d in devices}

    def pass_s(self, seconds: float) -> None:
        self.clock.advance_to(self.clock.monotonic_s() + seconds)

    def values(self, device: str, model: int) -> dict[str, float]:
        """All points of one model, as a client decodes them."""
        compiled = CompiledMap(model_map(self.block(device, model)))
        blocks = [self.banks[device].read(r.address, r.count) for r in compiled.reads]
        return dict(zip(compiled.keys, compiled.decode(blocks).tolist(), strict=True))

    def block(self, device: str, model: int) -> ModelBlock:
        address = 40002
        while True:
            number, length, ports = struct.unpack(">3H", self.banks[device].read(address, 3))
            if number == model:
                return ModelBlock(number, address, length, (("NPh", ports),) if model in (64900, 64901) else ())
            assert number != 0xFFFF, f"no model {model}"
            address += 2 + length

    def point(self, device: str, path: str) -> PointSpec:
        return next(p for p in model_map(self.block(device, 64900)).points if p.key == path)

    def write(self, device: str, path: str, *words: int) -> None:
        data = b"".join(struct.pack(">I" if self.point(device, path).registers == 2 else ">H", w & 0xFFFFFFFF) for w in words)
        self.banks[device].write(self.point(device, path).address, data)

    def command(self, device: str, setpoints: list[tuple[float, float]], beat: int, sequence: int, enable: int = 1) -> None:
        """Setpoints, heartbeat and commit in one frame, in tenths of W and var."""
        data = b"".join(struct.pack(">iiHI", round(10 * w), round(10 * var), 0, 0) for w, var in setpoints)
        data += struct.pack(">HII", enable, beat, sequence)
        self.banks[device].write(self.point(device, "Ph[0].W").address, data)


def small_site(**twin: float) -> Site:
    site = rack_site(2)
    return replace(site, twin=TwinSpec(**{"meter_noise_pct": 0.0, **twin}))


GIVE = [(500.0, 100.0), (-800.0, -50.0), (300.0, 0.0)]


# ---- the MIM


def test_command_in_one_frame_is_applied_and_measured() -> None:
    twin = Twin()
    twin.command("mim-rack1", GIVE, beat=1, sequence=7)
    twin.pass_s(5)
    seen = twin.values("mim-rack1", 64901)
    assert (seen["SeqAck"], seen["CmdSta"], seen["St"]) == (7, 0, 2)
    # 2 W of tolerance: the lag has died away to 0.3 ppm of a step, and nothing feeds the DC link beside the ports
    assert [seen[f"Ph[{n}].W"] for n in range(3)] == pytest.approx([w for w, _ in GIVE], abs=2)
    assert [seen[f"Ph[{n}].Var"] for n in range(3)] == pytest.approx([q for _, q in GIVE], abs=2)
    for n, (w, var) in enumerate(GIVE):
        assert seen[f"Ph[{n}].A"] == pytest.approx(math.hypot(w, var) / seen[f"Ph[{n}].V"], rel=0.01)
        lag = math.degrees(math.atan2(var, w))
        difference = math.remainder(seen[f"Ph[{n}].AAng"] - seen[f"Ph[{n}].VAng"] + lag, 360)
        assert difference == pytest.approx(0, abs=0.5)
    assert [seen[f"Ph[{n}].VAng"] for n in range(3)] == pytest.approx([0, -120, 120], abs=1)


def test_every_device_shows_how_fast_the_mains_runs() -> None:
    twin = Twin()
    twin.plant.frequency_hz = 47.25
    twin.pass_s(1)
    assert twin.values("mim-rack1", 64901)["Hz"] == pytest.approx(47.25)
    assert raw(twin, "m-rack1", 213)["Hz"] == pytest.approx(47.25)


def test_setpoints_wait_for_the_commit() -> None:
    twin = Twin()
    twin.command("mim-rack1", [(0, 0)] * 3, beat=1, sequence=1)
    twin.write("mim-rack1", "Ph[1].W", 6000)
    twin.pass_s(5)
    assert twin.values("mim-rack1", 64901)["Ph[1].W"] == pytest.approx(0, abs=1)
    assert twin.values("mim-rack1", 64900)["Ph[1].W"] == 600.0
    twin.write("mim-rack1", "Ph[0].W", -6000 & 0xFFFFFFFF)
    twin.write("mim-rack1", "Cmt.CtlHb", 2)
    twin.write("mim-rack1", "Cmt.SeqCmd", 2)
    twin.pass_s(5)
    seen = twin.values("mim-rack1", 64901)
    assert (seen["Ph[0].W"], seen["Ph[1].W"]) == pytest.approx((-600, 600), abs=2)


def test_same_sequence_number_changes_nothing() -> None:
    twin = Twin()
    twin.command("mim-rack1", GIVE, beat=1, sequence=7)
    twin.command("mim-rack1", [(0.0, 0.0)] * 3, beat=2, sequence=7)
    twin.pass_s(5)
    assert twin.values("mim-rack1", 64901)["Ph[0].W"] == pytest.approx(500, abs=2)


def test_only_a_changed_heartbeat_feeds_the_watchdog() -> None:
    twin = Twin()
    twin.write("mim-rack1", "WdTms", 4)
    twin.command("mim-rack1", GIVE, beat=1, sequence=1)
    twin.pass_s(3)
    assert twin.values("mim-rack1", 64901)["WdRem"] == 1
    twin.write("mim-rack1", "Cmt.CtlHb", 2)
    assert twin.fleet.watchdog_remaining_s[0] == pytest.approx(4)
    for _ in range(3):
        twin.pass_s(1.5)
        twin.write("mim-rack1", "Cmt.CtlHb", 2)  # traffic, but no change
    twin.pass_s(2)
    seen = twin.values("mim-rack1", 64901)
    assert (seen["WdRem"], seen["CmdSta"]) == (0, 3)
    assert seen["Ph[0].W"] == pytest.approx(0, abs=1)
    # the registers show what is in force, not what was once asked for
    assert twin.values("mim-rack1", 64900)["Ph[0].W"] == 0


def test_revert_goes_to_the_given_setpoints() -> None:
    site = small_site()
    site = replace(site, mims=tuple(replace(m, expiry_action=ExpiryAction.REVERT) for m in site.mims))
    twin = Twin(site)
    assert twin.values("mim-rack1", 64900)["WdAct"] == 2
    twin.write("mim-rack1", "PhRvrt[0].W", 1000)
    twin.write("mim-rack1", "PhRvrt[1].W", -1000)
    twin.command("mim-rack1", GIVE, beat=1, sequence=1)
    twin.pass_s(15)
    seen = twin.values("mim-rack1", 64901)
    assert [seen[f"Ph[{n}].W"] for n in range(3)] == pytest.approx([100, -100, 0], abs=2)


def test_clipped_command_is_shown_as_it_is_in_force() -> None:
    twin = Twin()
    twin.command("mim-rack1", [(3000.0, 4000.0), (-1200.0, -1600.0), (0.0, 0.0)], beat=1, sequence=1)
    assert twin.values("mim-rack1", 64901)["CmdSta"] == 1
    held = twin.values("mim-rack1", 64900)
    assert (held["Ph[0].W"], held["Ph[0].Var"]) == pytest.approx((1200, 1600), abs=0.1)


def test_switching_off_with_a_command_is_acknowledged() -> None:
    twin = Twin()
    twin.command("mim-rack1", GIVE, beat=1, sequence=1)
    twin.pass_s(3)
    twin.command("mim-rack1", [(0.0, 0.0)] * 3, beat=2, sequence=2, enable=0)
    twin.pass_s(3)
    seen = twin.values("mim-rack1", 64901)
    assert (seen["SeqAck"], seen["St"]) == (2, 1)
    assert seen["Ph[0].W"] == pytest.approx(0, abs=1)
    assert twin.values("mim-rack1", 64900)["Cmt.Ena"] == 0


def test_reboot_forgets_command_and_counters() -> None:
    twin = Twin()
    twin.write("mim-rack1", "WdTms", 60)
    twin.command("mim-rack1", GIVE, beat=5, sequence=9)
    twin.pass_s(3)
    twin.fleet.reboot(0)
    twin.pass_s(1)
    held = twin.values("mim-rack1", 64900)
    assert [held[k] for k in ("Cmt.Ena", "Cmt.SeqCmd", "Cmt.CtlHb", "Ph[0].W", "WdTms")] == [0, 0, 0, 0, 10]
    assert twin.values("mim-rack1", 64901)["SeqAck"] == 0


@pytest.mark.parametrize(
    ("path", "words"),
    [("WdTms", (0,)), ("WdTms", (0xFFFF,)), ("WdAct", (4,)), ("Cmt.Ena", (2,)), ("Cmt.CtlHb", (0xFFFFFFFF,))],
)
def test_impossible_setting_is_refused_and_changes_nothing(path: str, words: tuple[int, ...]) -> None:
    twin = Twin()
    before = twin.values("mim-rack1", 64900)
    with pytest.raises(DeviceRefusal) as caught:
        twin.write("mim-rack1", path, *words)
    assert caught.value.code == 3
    assert twin.values("mim-rack1", 64900) == pytest.approx(before, nan_ok=True)


def test_read_only_registers_and_halves_of_points_are_refused() -> None:
    twin = Twin()
    bank, first = twin.banks["mim-rack1"], twin.point("mim-rack1", "Ph[0].W").address
    for address, data, code in (
        (40000, b"\0\0", 2),  # the SunSpec mark
        (twin.block("mim-rack1", 64900).address + 3, b"\0\1", 2),  # a scale factor
        (twin.block("mim-rack1", 64901).address + 5, b"\0\1", 2),  # a measurement
        (first + 1, b"\0\1", 2),  # the second half
        (first, b"\0\1", 3),  # the first half
        (65000, b"\0\1", 2),
    ):
        with pytest.raises(DeviceRefusal) as caught:
            bank.write(address, data)
        assert caught.value.code == code
    with pytest.raises(DeviceRefusal):
        bank.read(39999, 2)


def test_mim_off_line_is_answered_for_by_its_gateway() -> None:
    twin = Twin()
    twin.fleet.online[0] = False
    for act in (lambda: twin.banks["mim-rack1"].read(40000, 2), lambda: twin.banks["mim-rack1"].write(40100, b"\0\0")):
        with pytest.raises(DeviceRefusal) as caught:
            act()
        assert caught.value.code == 11
    assert twin.banks["mim-rack2"].read(40000, 2) == b"SunS"


def test_storage_model_tells_charge_and_capacity() -> None:
    site = replace(small_site(), batteries=(Battery("b", "mim-rack1", 90_000, 5000, 5000),))
    twin = Twin(site)
    seen = twin.values("mim-rack1", 713)
    assert (seen["SoC"], seen["WHRtg"], seen["WHAvail"]) == (60.0, 90_000, 54_000)


def test_line_to_line_and_three_phase_ports() -> None:
    site = small_site()
    ports = (PortSpec("rack1", Connection.L1L2, 2000), PortSpec("rack1", Connection.THREE_PHASE, 6000))
    twin = Twin(replace(site, mims=(replace(site.mims[0], ports=ports), *site.mims[1:])))
    twin.command("mim-rack1", [(-900.0, 0.0), (900.0, 0.0)], beat=1, sequence=1)
    twin.pass_s(5)
    seen = twin.values("mim-rack1", 64901)
    assert seen["Ph[0].V"] == pytest.approx(230 * math.sqrt(3), rel=0.02)
    assert seen["Ph[1].V"] == pytest.approx(230, rel=0.02)
    assert seen["Ph[0].A"] == pytest.approx(900 / 398, rel=0.02)
    assert seen["Ph[1].A"] == pytest.approx(300 / 230, rel=0.02)
    # the voltage L1L2 leads L1 by 30°: from the first port, L1 is at −30°; absorbed current is opposite to its voltage
    assert (seen["Ph[0].VAng"], seen["Ph[1].VAng"]) == pytest.approx((0, -30), abs=1)
    assert abs(seen["Ph[0].AAng"]) == pytest.approx(180, abs=1)


# ---- meters


def raw(twin: Twin, device: str, model: int) -> dict[str, float]:
    return twin.values(device, model)


def test_meter_shows_the_flow_of_its_node() -> None:
    twin = Twin()
    seen = raw(twin, "m-rack1", 213)
    for letter, (connection, w) in zip("ABC", LOADS_W.items(), strict=True):
        assert seen[f"Wph{letter}"] == pytest.approx(w, rel=1e-3)
        assert seen[f"VARph{letter}"] == pytest.approx(w / 2, rel=1e-3)
        # I = |S|/V, and √(1 + 0.3² + 0.4²) for the harmonics
        fundamental = abs(w * (1 + 0.5j)) / 230
        assert seen[f"Aph{letter}"] == pytest.approx(fundamental * math.sqrt(1.25), rel=0.02), connection
    assert seen["W"] == pytest.approx(sum(LOADS_W.values()), rel=1e-3)
    assert seen["Hz"] == 50
    assert seen["PPVphAB"] == pytest.approx(398, rel=0.02)


def test_meter_is_wired_as_the_site_file_says() -> None:
    site = small_site()
    crossed = tuple(replace(m, phase_map=(Phase.L3, Phase.L1, Phase.L2), sign=-1) if m.id == "m-rack1" else m for m in site.meters)
    seen = raw(Twin(replace(site, meters=crossed)), "m-rack1", 213)
    assert [seen[f"Wph{x}"] for x in "ABC"] == pytest.approx([-2000, -3000, -1000], rel=1e-3)
    assert seen["VARphA"] == pytest.approx(-1000, rel=1e-3)


def test_input_without_a_conductor_has_no_value() -> None:
    site = small_site()
    nodes = tuple(replace(n, phases=PHASES[:2]) if n.id == "rack2" else n for n in site.nodes)
    mims = (site.mims[0],)
    seen = raw(Twin(replace(site, nodes=nodes, mims=mims)), "m-rack2", 213)
    assert math.isnan(seen["PhVphC"])
    assert math.isnan(seen["WphC"])
    assert math.isnan(seen["PPVphBC"])
    assert seen["PhVphA"] == pytest.approx(230, rel=0.02)


def test_small_node_has_an_integer_meter_in_whole_watts() -> None:
    site = small_site()
    nodes = tuple(replace(n, rating_a=32.0) if n.id == "rack1" else n for n in site.nodes)
    twin = Twin(replace(site, nodes=nodes))
    assert twin.kinds["m-rack1"] == "meter 203"
    seen = raw(twin, "m-rack1", 203)
    assert seen["W_SF"] == 0
    assert [seen[f"Wph{x}"] for x in "ABC"] == [3000, 1000, 2000]
    assert math.isnan(seen["PF"])


def test_noise_is_as_large_as_the_site_file_says_and_repeats_with_its_seed() -> None:
    def readings() -> list[float]:
        twin = Twin(small_site(meter_noise_pct=1.0))
        found = []
        for _ in range(400):
            twin.pass_s(1)
            found.append(raw(twin, "m-rack1", 213)["WphA"])
        return found

    first = readings()
    assert readings() == first
    # 400 draws: the mean within 5 standard errors, the deviation within 20 %
    assert np.mean(first) == pytest.approx(3000, abs=5 * 30 / 20)
    assert np.std(first) == pytest.approx(30, rel=0.2)


def test_one_look_at_the_plant_serves_everybody_for_a_while() -> None:
    twin = Twin(small_site(meter_noise_pct=1.0))
    first = raw(twin, "m-rack1", 213)
    twin.pass_s(0.05)
    assert raw(twin, "m-rack1", 213)["WphA"] == first["WphA"]
    twin.pass_s(0.06)
    assert raw(twin, "m-rack1", 213)["WphA"] != first["WphA"]


def test_energy_is_counted_by_direction() -> None:
    site = small_site()
    reverse = tuple(replace(m, sign=-1) if m.id == "m-pdu" else m for m in site.meters)
    twin = Twin(replace(site, meters=reverse))
    for _ in range(3):
        raw(twin, "m-rack1", 213)
        raw(twin, "m-pdu", 213)
        twin.pass_s(1800)
    forward, backward = raw(twin, "m-rack1", 213), raw(twin, "m-pdu", 213)
    # 1.5 h at 6 kW, float32
    assert (forward["TotWhImp"], forward["TotWhExp"]) == (pytest.approx(9000, rel=1e-3), 0)
    assert backward["TotWhImp"] == 0
    assert backward["TotWhExp"] == pytest.approx(9000, rel=1e-2)


def test_meter_refuses_writes_and_foreign_registers() -> None:
    bank = Twin().banks["m-rack1"]
    for act in (lambda: bank.write(40010, b"\0\0"), lambda: bank.read(39000, 1), lambda: bank.read(40000, 1000)):
        with pytest.raises(DeviceRefusal) as caught:
            act()
        assert caught.value.code == 2


def test_profile_meter_has_the_registers_of_its_profile() -> None:
    points = (
        PointSpec("active_power.L1", 100, PointType.INT32, scale=0.1, sign=-1),
        PointSpec("voltage.L1", 110, PointType.UINT16, scale_address=112, sentinels=(0xFFFF,)),
        PointSpec("thd_i.L1", 111, PointType.UINT16, scale=0.1),
        PointSpec("status", 120, PointType.UINT16),
    )
    profile = DeviceProfile("acme/m1", "ACME", ("M1",), Provenance("test", "high"), RegisterMap(DeviceClass.METER, points))
    site = small_site()
    meters = tuple(replace(m, address=replace(m.address, profile="acme/m1")) if m.id == "m-rack1" else m for m in site.meters)
    bank = Twin(replace(site, meters=meters), {"acme/m1": profile}).banks["m-rack1"]
    assert isinstance(bank, MeterBank)
    assert struct.unpack(">i", bank.read(100, 2))[0] == pytest.approx(-30_000, rel=1e-3)
    volts, thd, exponent = struct.unpack(">HHh", bank.read(110, 3))
    assert volts * 10.0**exponent == pytest.approx(230, rel=0.02)
    # √(0.3² + 0.4²) = 50 %
    assert thd == pytest.approx(500, abs=5)
    assert bank.read(120, 1) == b"\0\0"


def test_devices_that_the_twin_cannot_stand_in_for_are_named() -> None:
    site = small_site()
    meters = (replace(site.meters[0], address=replace(site.meters[0].address, profile="no/such")), *site.meters[1:])
    with pytest.raises(UserError, match="m-feed needs the profile 'no/such'"):
        Twin(replace(site, meters=meters))
    mims = (replace(site.mims[0], address=replace(site.mims[0].address, profile="acme/inverter")),)
    with pytest.raises(UserError, match="no virtual MIM for the profile 'acme/inverter'"):
        Twin(replace(site, mims=mims))


@pytest.mark.parametrize(
    ("largest", "most", "finest", "expected"),
    [
        (32767, 32767, -2, 0),
        (32768, 32767, -2, 1),
        (3.2, 32767, -2, -2),
        (327, 32767, -3, -2),
        (328, 32767, -3, -1),
        (0, 100, -1, -1),
    ],
)
def test_scale_factor_is_fine_and_wide_enough(largest: float, most: int, finest: int, expected: int) -> None:
    assert exponent_for(largest, most, finest) == expected


@pytest.mark.parametrize(
    ("host", "is_here"),
    [("127.3.2.1", True), ("::1", True), ("localhost", True), ("10.0.0.1", False), ("gw", False)],
)
def test_only_loopback_is_served_as_the_site_file_says(host: str, is_here: bool) -> None:
    assert is_loopback(host) == is_here


def test_every_device_has_a_bank_of_its_kind() -> None:
    twin = Twin()
    kinds = {name: type(bank) for name, bank in twin.banks.items()}
    assert kinds == {**{m.id: MeterBank for m in twin.site.meters}, **{m.id: MimBank for m in twin.site.mims}}
