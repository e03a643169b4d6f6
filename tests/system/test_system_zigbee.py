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
from mimctl.model.errors import LinkDown, LinkError, MissingExtra
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
from mimctl.twin.zigbee import formed_stick
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


def edge_site():
    """The edge hall, as far as it is on wires and on Zigbee."""
    site = load_site(site_config("wireless_edge"))
    mims = tuple(mim for mim in site.mims if mim.address.link in ("gw", "zb"))
    return replace(site, links=tuple(link for link in site.links if link.id in ("gw", "zb")), mims=mims)


@pytest.fixture
async def hall():
    """The twin of the edge hall, and the drivers that a service would have over it."""
    site = edge_site()
    layout = SiteLayout(site)
    loads = LoadSet(layout, GeneratedLoads(site.twin.loads, 1, datetime(2026, 1, 5, 12, tzinfo=UTC)), seed=1)
    plant = Plant(layout, loads, fleet=MimFleet(layout))
    async with TwinServer(site, plant, SystemClock(), profiles=site_profiles(site), free_ports=True) as server:
        groups = open_groups(server.site, SystemClock())
        radio = next(g for g in groups if g.link == "zb")
        await radio.open()
        yield server, plant, radio
        await radio.close()


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
