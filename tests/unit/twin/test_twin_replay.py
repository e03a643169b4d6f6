"""A dump on a socket: other makers' clients read what the device said, writes are refused, units stay apart."""

import asyncio
import struct

import pytest
import sunspec2.modbus.client as sunspec

from mimctl.model.clock import SystemClock
from mimctl.model.errors import DeviceRefusal
from mimctl.model.link import Link, LinkType
from mimctl.twin.replay import ReplayServer
from mimctl.wire.dump import DumpBlock, RegisterDump, blocks_of
from mimctl.wire.modbus import ModbusLink
from mimctl.wire.sunspec_image import ModelContent, build_chain


def chain(unit, watts):
    image, _ = build_chain([ModelContent(1, {"Mn": "ACME", "SN": "1"}), ModelContent(103, {"W": watts, "W_SF": 0})])
    words = dict(enumerate(struct.unpack(f">{len(image) // 2}H", image), 40000))
    return blocks_of({(unit, 3): words})


async def test_the_client_of_another_maker_reads_each_unit_of_each_dump():
    dumps = [("a", RegisterDump((*chain(1, 100.0), *chain(7, 200.0)))), ("b", RegisterDump(chain(1, 300.0)))]
    async with ReplayServer(dumps) as server:
        assert [(r.name, r.units) for r in server.served] == [("a", (1, 7)), ("b", (1,))]

        def watts(place, unit):
            device = sunspec.SunSpecModbusClientDeviceTCP(slave_id=unit, ipaddr=place.host, ipport=place.port, timeout=5)
            device.connect()
            try:
                device.scan()
                return device.models[103][0].W.cvalue
            finally:
                device.disconnect()

        first, second = server.served
        asked = [(first, 1), (first, 7), (second, 1)]
        assert [await asyncio.to_thread(watts, place, unit) for place, unit in asked] == [100.0, 200.0, 300.0]


async def test_writes_and_what_is_not_in_the_dump_are_refused_and_input_registers_are_apart():
    dump = RegisterDump((DumpBlock(1, 3, 10, (1, None, 3)), DumpBlock(1, 4, 10, (9,))))
    async with ReplayServer([("a", dump)]) as server:
        place = server.served[0]
        link = ModbusLink(Link("r", LinkType.MODBUS_TCP, place.host, place.port, timeout_s=5.0), SystemClock())
        await link.open()
        try:
            assert await link.read(1, 10, 1) == b"\0\1"
            assert await link.read(1, 10, 1, function=4) == b"\0\x09"
            for request, code in ((link.read(1, 10, 3), 2), (link.read(1, 500, 1), 2), (link.write(1, 10, b"\0\0"), 1)):
                with pytest.raises(DeviceRefusal) as refusal:
                    await request
                assert refusal.value.code == code
        finally:
            await link.close()
