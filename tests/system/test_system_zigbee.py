"""A site whose MIMs are on the air: the service's own links to the twin over a socket, and the commands for people."""

import asyncio
import json
import stat
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mimctl.cli.main import main
from mimctl.config.site import load_site
from mimctl.drivers.zigbee_group import ZigbeeGroup
from mimctl.model.clock import SystemClock
from mimctl.model.errors import LinkDown, LinkError, LinkTimeout, MissingExtra
from mimctl.model.layout import SiteLayout
from mimctl.model.protocols import MimCommand
from mimctl.model.reason import Reason
from mimctl.model.resources import site_config
from mimctl.model.sample import Quality
from mimctl.model.site import ExpiryAction
from mimctl.model.zigbee import twin_radio
from mimctl.service.door import Door
from mimctl.service.links import open_groups, site_profiles, zigbee_database
from mimctl.service.state_dir import socket_path, state_directory
from mimctl.service.zigbee_desk import ZigbeeDesk
from mimctl.twin.firmware import MimFleet
from mimctl.twin.generator import GeneratedLoads
from mimctl.twin.loads import LoadSet
from mimctl.twin.plant import Plant
from mimctl.twin.server import TwinServer
from mimctl.twin.zigbee_stick import formed_stick
from mimctl.wire.zigbee import radios
from mimctl.wire.zigbee.air import Air
from mimctl.wire.zigbee.air_socket import AirServer
from mimctl.wire.zigbee.bridge import ZigbeeBridge
from mimctl.wire.zigbee.watched import Wanted
from zigbee_mim import EUI, ZigbeeMim

EDGE = Path(site_config("wireless_edge")).read_text()
WHY = Reason("test", "the test asks")
#: the example of the Zigbee Base Device Behavior Specification, 10.1
CODE, LINK_KEY = "83FED3407A939723A5C639B26916D505C3B5", "66b6900981e1ee3ca4206b6b861c02bb"


@dataclass(frozen=True)
class Done:
    exit_code: int
    out: str
    output: str


@pytest.fixture(autouse=True)
def _state(tmp_path, monkeypatch):
    monkeypatch.setenv("MIMCTL_STATE_DIR", str(tmp_path / "state"))


def edge_site(file=site_config("wireless_edge")):  # noqa: B008 - a path that stays
    """The edge hall, as far as it is on wires and on Zigbee."""
    site = load_site(file)
    mims = tuple(mim for mim in site.mims if mim.address.link in ("gw", "zb"))
    return replace(site, links=tuple(link for link in site.links if link.id in ("gw", "zb")), mims=mims)


@pytest.fixture
async def hall():
    """The twin of the edge hall, and the drivers that a service would have over it."""
    async for served in over_the_air(edge_site()):
        yield served


async def over_the_air(site):
    layout = SiteLayout(site)
    loads = LoadSet(layout, GeneratedLoads(site.twin.loads, 1, datetime(2026, 1, 5, 12, tzinfo=UTC)), seed=1)
    plant = Plant(layout, loads, fleet=MimFleet(layout))
    async with TwinServer(site, plant, SystemClock(), profiles=site_profiles(site), free_ports=True) as server:
        groups = open_groups(server.site, SystemClock())
        radio = next(g for g in groups if g.link == "zb")
        radio.bridge.pace = replace(radio.bridge.pace, command_s=0.5)
        await radio.open()
        yield server, plant, radio
        await radio.close()


async def test_frames_are_lost_both_ways(hall):
    _, plant, radio = hall
    mim, row = radio.drivers["mim-z2"], plant.instruments.row["mim-z2"]
    await first_sample(mim)
    plant.instruments.loss[row] = 1.0
    with pytest.raises(LinkTimeout):
        await mim.apply(MimCommand((300.0,) * 3, (0.0,) * 3, 30.0, WHY))
    m = plant.layout.mim_index["mim-z2"]
    assert not plant.fleet.enabled[m]  # it has not heard the command
    assert plant.instruments.lost[row] >= 2


PLUG = """\
schema: 1
id: acme/plug
vendor: ACME
models: [P1]
class: meter
provenance: {source: its manual, confidence: high}
attributes:
  voltage.L1: {cluster: 0x0B04, attribute: 0x0505, endpoint: 3, multiplier: 0x0600, divisor: 0x0601, change: 1}
  active_power.L1: {cluster: 0x0702, attribute: 0x0400, endpoint: 3, multiplier: 0x0301, divisor: 0x0302, scale: 1000, sign: -1}
  energy_import.L1: {cluster: 0x0702, attribute: 0x0000, endpoint: 3, multiplier: 0x0301, divisor: 0x0302, scale: 1000}
  thd_v.L1: {cluster: 0xFC77, attribute: 0x0001, endpoint: 3, manufacturer: 0x1234, scale: 0.01}
"""


async def test_meters_on_the_air_by_profile_tell_what_the_plant_has(tmp_path):
    folder = tmp_path / "device_profiles" / "zigbee" / "acme"
    folder.mkdir(parents=True)
    (folder / "plug.yaml").write_text(PLUG)
    old = "  - {id: meter-rack-8, node: rack-8, link: gw, unit: 18}\n"
    plug = "  - {id: plug, node: rack-8, link: zb, eui: 00124b00000000f1, profile: acme/plug}\n"
    meter = "  - {id: three, node: rack-7, link: zb, eui: 00124b00000000f2, profile: generic/meter_3ph}\n"
    assert old in EDGE
    (tmp_path / "site.yaml").write_text(EDGE.replace(old, old + plug + meter))
    async for server, plant, radio in over_the_air(edge_site(tmp_path / "site.yaml")):
        row, wire = plant.layout.node_index["rack-8"], server.world.look()
        told = await first_sample(radio.drivers["plug"])
        assert told.get("voltage.L1") == pytest.approx(wire.voltage_v[row, 0], rel=0.02)
        assert told.get("active_power.L1") == pytest.approx(wire.state.flow_va[row, 0].real, rel=0.1, abs=20)
        assert told.get("energy_import.L1") is not None
        assert told.get("thd_v.L1") == pytest.approx(wire.harmonics.thd_v_pct[row, 0], rel=0.1)
        row, told = plant.layout.node_index["rack-7"], await first_sample(radio.drivers["three"])
        for column, phase in enumerate(("L1", "L2", "L3")):
            assert told.get(f"current.{phase}") == pytest.approx(wire.current_a[row, column], rel=0.1, abs=0.1)
        assert told.get("frequency") == pytest.approx(50.0, abs=0.1)
        kinds = {device.id: device.kind for device in server.wireless}
        assert kinds["plug"] == "meter over Zigbee, acme/plug"
        # its node hides nothing but what its profile reads: the maker, the values and their scales
        numbers = radio.drivers["plug"].watched.values
        scales = {spot[3]: held.raw for spot, held in numbers.items() if spot[3] in (0x0301, 0x0302, 0x0601)}
        assert scales[0x0601] > 1  # a divisor is met in earnest
        assert scales[0x0301] == 1
        assert scales[0x0302] > 1


async def first_sample(driver):
    async with asyncio.timeout(30):
        while True:
            try:
                return await driver.read()
            except LinkError:
                await asyncio.sleep(0.05)


async def test_a_mim_on_the_air_is_read_commanded_and_falls_back_by_itself(hall):
    server, plant, radio = hall
    mim = radio.drivers["mim-z3"]
    sample = await first_sample(mim)
    assert sample.quality is Quality.GOOD
    assert 220 < sample.get("voltage.port1") < 240
    assert sample.get("active_power.port1") == 0.0
    held = await mim.apply(MimCommand((400.0, -200.0, -150.0), (0.0, 50.0, 0.0), 2.0, WHY))
    assert held.inject_w == (400.0, -200.0, -150.0)
    m = plant.layout.mim_index["mim-z3"]
    assert plant.fleet.setpoint_va[plant.layout.ports_of_mim[m]].tolist() == [400, -200 + 50j, -150]
    assert plant.fleet.enabled[m]
    assert plant.fleet._watchdogs.action[m] is ExpiryAction.ZERO
    await mim.refresh()
    async with asyncio.timeout(10):
        while plant.fleet.setpoint_va[plant.layout.ports_of_mim[m]].any():  # noqa: ASYNC110 - the watchdog of the firmware
            await asyncio.sleep(0.1)
    assert [d.id for d in server.wireless if d.address.link == "zb"] == [f"mim-z{n}" for n in range(1, 9)]


async def test_a_coordinator_that_goes_takes_only_its_own_mims_with_it(hall):
    server, _, radio = hall
    await asyncio.gather(*(first_sample(driver) for driver in radio.drivers.values()))
    assert radio.take_news() == []
    server._airs["zb"].air.unplug()
    async with asyncio.timeout(5):
        while radio.bridge.connected:  # noqa: ASYNC110 - nobody signals it
            await asyncio.sleep(0.01)
    for driver in radio.drivers.values():
        with pytest.raises(LinkDown):
            await driver.read()
    assert [news.code for news in radio.take_news()] == ["zigbee.away"]
    assert radio.status()["connected"] is False
    await first_sample(radio.drivers["mim-z1"])
    assert [news.code for news in radio.take_news()] == ["zigbee.back"]


async def test_a_fault_that_takes_a_mim_off_the_air_is_seen(hall):
    _, plant, radio = hall
    mim = radio.drivers["mim-z1"]
    await first_sample(mim)
    plant.fleet.online[plant.layout.mim_index["mim-z1"]] = False
    await asyncio.sleep(0.2)
    with pytest.raises(LinkError):
        await mim.apply(MimCommand((1.0,) * 3, (0.0,) * 3, 5.0, WHY))


def test_a_twin_that_starts_again_is_the_same_network():
    one, same, other = formed_stick("a zb"), formed_stick("a zb"), formed_stick("b zb")
    assert (one.eui, one.network) == (same.eui, same.network)
    assert one.network["network_key"] != other.network["network_key"]


@pytest.fixture
async def desk(tmp_path, capsys):
    """A site file whose coordinator is a stick without a network, behind a socket; what a command says about it."""
    air = Air()
    server = AirServer(air)
    host, port = await server.start()
    old = "radio: znp, device: /dev/serial/by-id/usb-coordinator"
    text, site = EDGE, tmp_path / "site.yaml"
    assert old in text
    site.write_text(text.replace(old, f"radio: twin, device: '{twin_radio(host, port).device}'"))

    async def call(*words):
        capsys.readouterr()
        code = await asyncio.to_thread(main, ["zigbee", words[0], str(site), *map(str, words[1:])])
        told = capsys.readouterr()
        return Done(code, told.out, told.out + told.err)

    yield call, air, tmp_path
    await server.stop()


async def test_form_backup_restore_devices_and_map(desk):
    call, air, folder = desk
    done = await call("devices")
    assert (done.exit_code, "mimctl zigbee form" in done.output) == (3, True)
    done = await call("form", "--channel", 20, "--json", folder / "net.json")
    assert done.exit_code == 0, done.output
    assert json.loads((folder / "net.json").read_text())["channel"] == 20
    assert (await call("form")).exit_code == 1
    key = air.stick.network["network_key"]["key"]
    done = await call("backup", "--to", folder / "kept.json")
    assert done.exit_code == 0, done.output
    assert key not in done.output
    assert stat.S_IMODE((folder / "kept.json").stat().st_mode) == 0o600
    air.stick.network = air.stick.node = None
    assert (await call("restore", "--from", folder / "kept.json")).exit_code == 2
    done = await call("restore", "--from", folder / "kept.json", "--yes")
    assert done.exit_code == 0, done.output
    assert air.stick.network["network_key"]["key"] == key
    for what in ("devices", "map"):
        assert (await call(what, "--json", "-")).out == "[]\n"


@pytest.fixture
async def at_work(desk):
    """The same while a service has the coordinator: its Zigbee link and its door, one MIM on the network, another outside."""
    call, air, folder = desk
    await call("form", "--channel", 20)
    site = load_site(folder / "site.yaml")
    (link,) = (link for link in site.links if link.id == "zb")
    bridge = ZigbeeBridge("zb", link.zigbee, zigbee_database(site, link), SystemClock())
    watched = bridge.watch(EUI, [Wanted((1, 0x0B04, None, 0x0505))])
    mim = ZigbeeMim(air)
    mim.node.hears = air.stick.eui
    mim.switch_on()
    door = Door(socket_path(state_directory(site.id)), {"zigbee": ZigbeeDesk([ZigbeeGroup(bridge)]).answer})
    await bridge.open()
    await door.open()
    async with asyncio.timeout(20):
        while not watched.ready:  # noqa: ASYNC110 - nobody signals it
            await asyncio.sleep(0.02)
    yield call, air, folder, bridge
    await door.close()
    await bridge.close()


async def test_a_running_service_is_asked_for_devices_map_and_backup(at_work):
    call, air, folder, bridge = at_work
    (found,) = json.loads((await call("devices", "--json", "-")).out)
    assert (found["eui"], found["maker"], found["ready"]) == (EUI, "mimctl", True)
    (line,) = json.loads((await call("map", "--json", "-")).out)
    assert (line["of"], line["eui"], line["lqi"]) == (EUI, air.stick.eui, 200)
    done = await call("backup", "--to", folder / "kept.json")
    assert done.exit_code == 0, done.output
    kept = json.loads((folder / "kept.json").read_text())
    assert kept["network_info"]["network_key"]["key"] == air.stick.network["network_key"]["key"]
    assert (await call("devices", "--link", "gw")).exit_code == 1
    assert bridge.starts == 1


async def test_a_running_service_lets_a_device_in(at_work):
    call, air, _, bridge = at_work
    other = ZigbeeMim(air, eui="00124b0000000002", nwk=0x1002)

    async def come():
        while not air.admit(other.node, bytes.fromhex(LINK_KEY)):  # noqa: ASYNC110 - as a device does
            await asyncio.sleep(0.01)
        other.node.announce()

    coming = asyncio.create_task(come())
    done = await call("permit", "--eui", other.eui, "--install-code", CODE, "--seconds", 10)
    await coming
    assert (done.exit_code, done.out) == (0, "00124b0000000002 joined: mimctl MIM\n"), done.output
    assert not air.open_to
    wrong = await call("permit", "--eui", other.eui, "--install-code", CODE[:-1] + "6")
    assert (wrong.exit_code, "check sum" in wrong.output, CODE[:-1] in wrong.output) == (1, True, False)
    assert bridge.connected


async def test_form_and_restore_refuse_beside_a_service_in_one_line(at_work):
    call, air, folder, bridge = at_work
    held = air.stick.network
    (folder / "kept.json").write_text("{}")
    for words in (("form",), ("form", "--replace"), ("restore", "--from", folder / "kept.json", "--yes")):
        done = await call(*words)
        assert done.exit_code == 1
        assert "stop the service of site" in done.output
        assert len(done.output.splitlines()) == 1
    assert (air.stick.network, bridge.starts) == (held, 1)


async def test_a_service_whose_coordinator_is_away_says_so(at_work):
    call, air, _, bridge = at_work
    air.unplug()
    async with asyncio.timeout(5):
        while bridge.connected:  # noqa: ASYNC110 - nobody signals it
            await asyncio.sleep(0.01)
    done = await call("devices")
    assert (done.exit_code, "is away" in done.output) == (3, True)


async def test_permit_tells_what_is_wrong(desk):
    call, _, _ = desk
    await call("form", "--channel", 20)
    good, bad = "83FED3407A939723A5C639B26916D505C3B5", "83FED3407A939723A5C639B26916D505C3B6"
    assert "no install code" in (await call("permit", "--eui", "00124b0000000001", "--install-code", bad)).output
    assert "no EUI-64" in (await call("permit", "--eui", "12", "--install-code", good)).output
    done = await call("permit", "--eui", "00124b0000000001", "--install-code", good, "--seconds", 0.3)
    assert (done.exit_code, "did not join" in done.output) == (1, True)
    assert (await call("permit", "--eui", "00124b0000000001", "--install-code", good, "--seconds", 61)).exit_code == 2


async def test_without_the_extra_one_line_names_it(monkeypatch):
    site = edge_site()
    monkeypatch.setitem(sys.modules, "zigpy", None)
    with pytest.raises(MissingExtra, match=r"pip install 'mimctl\[zigbee\]'"):
        radios.require_zigbee()
    mims = tuple(mim for mim in site.mims if mim.address.link == "zb")
    alone = replace(site, links=tuple(link for link in site.links if link.id == "zb"), mims=mims, meters=())
    with pytest.raises(MissingExtra):
        open_groups(alone, SystemClock())
