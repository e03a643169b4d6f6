"""Misbehaviour that shows in whole devices and long connections, and the page that lists every kind with its proof."""

from __future__ import annotations

import asyncio
import re
import socket
from pathlib import Path

import pytest
from modbus_device import Close, Device, Request, Step, until
from tests.builders import rack_site

from mimctl.control.image import ImageMap
from mimctl.drivers.discovery import SunSpecSource
from mimctl.drivers.register_device import RegisterDevice
from mimctl.model.clock import SystemClock
from mimctl.model.errors import DeviceRefusal, LinkDown
from mimctl.model.layout import SiteLayout
from mimctl.model.link import Link, LinkType
from mimctl.model.profile import DeviceClass
from mimctl.wire.memory import MemoryBank, MemoryTransport
from mimctl.wire.modbus import LinkPolicy, ModbusLink
from mimctl.wire.sunspec_image import ModelContent, build_chain

TESTS = Path(__file__).resolve().parents[1]
PAGE = TESTS.parent / "docs" / "explanation" / "bad-devices.md"
FAST = LinkPolicy(reconnect_first_s=0.01, reconnect_max_s=0.05, connect_timeout_s=2.0)


async def test_an_idle_connection_that_was_dropped_costs_no_value() -> None:
    def then_closes(request: Request) -> list[Step]:
        return [request.good(), Close]

    device = Device([then_closes] * 4)
    await device.start()
    link = ModbusLink(Link("gw", LinkType.MODBUS_TCP, "127.0.0.1", device.port, timeout_s=5.0), SystemClock(), policy=FAST)
    await link.open()
    try:
        for address in (100, 200, 300):
            for _ in range(200):
                try:
                    assert await link.read(1, address, 1) == address.to_bytes(2, "big")
                except LinkDown:  # the one that found out; the next has a new connection
                    await asyncio.sleep(0.01)
                else:
                    break
            else:
                pytest.fail("it never came back")
        assert device.accepted >= 3
    finally:
        await link.close()
        await device.stop()


async def test_a_half_open_connection_is_probed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int, int]] = []
    real = socket.socket.setsockopt
    monkeypatch.setattr(socket.socket, "setsockopt", lambda self, *args: asked.append(args) or real(self, *args))
    device = Device()
    await device.start()
    link = ModbusLink(Link("gw", LinkType.MODBUS_TCP, "127.0.0.1", device.port), SystemClock(), policy=FAST)
    await link.open()
    await until(lambda: link.connected)
    await link.close()
    await device.stop()
    assert (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1) in asked


def meter(values: dict[str, float | str]) -> tuple[MemoryBank, MemoryTransport, RegisterDevice]:
    image, _ = build_chain([ModelContent(1, {"Mn": "ACME"}), ModelContent(203, {"V_SF": -1, "W_SF": 0, "A_SF": -1, **values})])
    bank = MemoryBank(40000, image)
    transport = MemoryTransport("gw", {1: bank})
    return bank, transport, RegisterDevice("m1", transport, 1, source=SunSpecSource(DeviceClass.METER), clock=SystemClock())


async def test_all_ones_at_night_are_no_value() -> None:
    bank, _, driver = meter({"PhVphA": 230.5, "W": 900})
    assert (await driver.read()).get("voltage.L1") == 230.5
    start = 2 * (2 + 68 + 2)  # the mark, the common model, the header of the meter's
    bank.registers[start : start + 2 * 105] = b"\xff" * 2 * 105
    sample = await driver.read()
    assert sample.get("voltage.L1") is None
    assert sample.get("active_power.total") is None


@pytest.mark.parametrize("most", [10, 50, 100])
async def test_a_device_that_gives_few_registers_at_once_is_read_in_pieces(most: int) -> None:
    """More is refused, as by gateways that cap at 50 or 100; the link's `max_registers` says so."""
    _, transport, _ = meter({"PhVphA": 230.5, "PhVphB": 229.5, "W": 900, "WphA": 300})

    def cap(kind: str, unit: int, address: int, count: int) -> None:
        if count > most:
            raise DeviceRefusal("gw", "too many registers", 3)

    transport.before = cap
    source = SunSpecSource(DeviceClass.METER, None, most)
    driver = RegisterDevice("m1", transport, 1, source=source, clock=SystemClock(), max_registers=most)
    sample = await driver.read()
    assert (sample.get("voltage.L2"), sample.get("active_power.L1"), sample.get("active_power.total")) == (229.5, 300, 900)


def test_no_decision_rests_on_a_counter() -> None:
    """Counters jump to 0 and back; what control decides on has no place for them."""
    image = ImageMap(SiteLayout(rack_site()))
    for device, place in (("m-rack1", ""), ("m-rack1", ".L1"), ("m-rack1", ".total"), ("mim-rack1", ".port1")):
        find = image._finders[device]
        assert find("active_power.L1" if device == "m-rack1" else "active_power.port1") is not None
        assert find(f"energy_import{place}") is None
        assert find(f"energy_export{place}") is None


def proofs() -> list[tuple[str, str]]:
    """(module, test or case) of every name on the page."""
    return re.findall(r"`(\w+)::([^`]+)`", PAGE.read_text(encoding="utf-8"))


def test_every_row_of_the_page_names_its_proof() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    rows = [row for row in rows if not row.startswith("| the device | what mimctl does")]
    assert len(rows) >= 45
    assert [row for row in rows if "::" not in row] == []


@pytest.mark.parametrize(("module", "name"), sorted(set(proofs())))
def test_every_proof_on_the_page_exists(module: str, name: str) -> None:
    (file,) = TESTS.rglob(f"test_{module}.py")
    text = file.read_text(encoding="utf-8")
    assert re.search(rf"^(async )?def test_{re.escape(name)}\(", text, re.MULTILINE) or f'"{name}":' in text
