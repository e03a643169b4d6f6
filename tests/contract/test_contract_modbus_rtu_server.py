"""The RTU servers of twins, over TCP and on a pseudo-terminal, asked by bare sockets and by clients of other makers."""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import serial
from pymodbus.client import ModbusSerialClient
from rtu_device import frame

from mimctl.model.clock import SystemClock
from mimctl.model.errors import DeviceRefusal, Unreachable
from mimctl.model.link import Link, LinkType, SerialLine
from mimctl.wire.modbus import ModbusLink
from mimctl.wire.rtu_server import RtuPtyServer, RtuTcpServer

KINDS = ("tcp", "pty")
SIZE = 1000
READ_10 = frame(1, b"\x03\x00\x64\x00\x0a")
VALUES_10 = frame(1, b"\x03\x14" + struct.pack(">10H", *range(100, 110)))


class Bank:
    """Registers 0 to 999; register `a` starts as `a`."""

    def __init__(self) -> None:
        self.memory = bytearray(struct.pack(f">{SIZE}H", *range(SIZE)))

    def read(self, address: int, count: int) -> bytes:
        if address + count > SIZE:
            raise DeviceRefusal("bank", "beyond the end", 2)
        return bytes(self.memory[2 * address : 2 * (address + count)])

    def write(self, address: int, data: bytes) -> None:
        self.memory[2 * address : 2 * address + len(data)] = data


Talk = tuple[Callable[[bytes], None], Callable[[int], Awaitable[bytes]]]


@asynccontextmanager
async def talking(kind: str) -> AsyncIterator[tuple[Talk, dict[int, Bank]]]:
    """(send, receive exactly) to a server of units 1 and 7."""
    banks = {1: Bank(), 7: Bank()}
    if kind == "tcp":
        server = RtuTcpServer("127.0.0.1", 0, banks)
        reader, writer = await asyncio.open_connection(*await server.start())
        yield (writer.write, reader.readexactly), banks
        writer.close()
        await server.stop()
        return
    port = RtuPtyServer(banks)
    client = os.open(await port.start(), os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    stream = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    loop.add_reader(client, lambda: stream.feed_data(os.read(client, 4096)))
    yield (lambda data: os.write(client, data) and None, stream.readexactly), banks
    loop.remove_reader(client)
    os.close(client)
    await port.stop()


# exception codes: MODBUS Application Protocol V1.1b3, section 7
ANSWERS: dict[str, tuple[bytes, bytes]] = {
    "read holding registers": (READ_10, VALUES_10),
    "read input registers": (frame(1, b"\x04\x00\x64\x00\x01"), frame(1, b"\x04\x02\x00\x64")),
    "125 registers": (frame(1, b"\x03\x00\x00\x00\x7d"), frame(1, b"\x03\xfa" + struct.pack(">125H", *range(125)))),
    "126 registers": (frame(1, b"\x03\x00\x00\x00\x7e"), frame(1, b"\x83\x03")),
    "beyond the end": (frame(7, b"\x03\x03\xe7\x00\x02"), frame(7, b"\x83\x02")),
    "coils": (frame(1, b"\x01\x00\x00\x00\x08"), frame(1, b"\x81\x01")),
    "write one": (frame(1, b"\x06\x00\x05\x12\x34"), frame(1, b"\x06\x00\x05\x12\x34")),
    "write many": (frame(1, b"\x10\x00\x05\x00\x02\x04\x00\x01\x00\x02"), frame(1, b"\x10\x00\x05\x00\x02")),
    "write and read": (frame(1, b"\x17\x00\x64\x00\x01\x00\x05\x00\x01\x02\x00\x09"), frame(1, b"\x17\x02\x00\x64")),
    "two at once": (READ_10 + frame(7, b"\x03\x00\x01\x00\x01"), VALUES_10 + frame(7, b"\x03\x02\x00\x01")),
    "after noise": (b"\x00\xff\x12" + READ_10, VALUES_10),
    "after a request with a wrong check sum": (READ_10[:-1] + b"\0" + READ_10, VALUES_10),
    "after a request for a unit that is not there": (frame(9, b"\x03\x00\x64\x00\x0a") + READ_10, VALUES_10),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", ANSWERS)
async def test_answer(case: str, kind: str) -> None:
    request, expected = ANSWERS[case]
    async with talking(kind) as ((send, receive), _):
        send(request)
        assert await receive(len(expected)) == expected
        send(READ_10)
        assert await receive(len(VALUES_10)) == VALUES_10


@pytest.mark.parametrize("kind", KINDS)
async def test_request_in_single_bytes(kind: str) -> None:
    async with talking(kind) as ((send, receive), _):
        for byte in READ_10:
            send(bytes([byte]))
            await asyncio.sleep(0.002)
        assert await receive(len(VALUES_10)) == VALUES_10


@pytest.mark.parametrize("kind", KINDS)
async def test_broadcast_is_done_by_all_and_answered_by_nobody(kind: str) -> None:
    async with talking(kind) as ((send, receive), banks):
        send(frame(0, b"\x06\x00\x05\x12\x34") + READ_10)
        assert await receive(len(VALUES_10)) == VALUES_10
        assert [bank.read(5, 1) for bank in banks.values()] == [b"\x12\x34"] * 2


async def test_client_of_another_maker_over_a_serial_port() -> None:
    """pymodbus's blocking client; it knows nothing of what is served here."""

    def ask(path: str) -> tuple[list[int], bool, list[int]]:
        with ModbusSerialClient(path, baudrate=115200, parity="N", timeout=3) as client:
            first = client.read_holding_registers(100, count=10, device_id=1).registers
            wrote = client.write_registers(5, [1, 2], device_id=7).isError()
            return first, wrote, client.read_holding_registers(5, count=2, device_id=7).registers

    server = RtuPtyServer({1: Bank(), 7: Bank()})
    path = await server.start()
    assert await asyncio.wait_for(asyncio.to_thread(ask, path), 20) == (list(range(100, 110)), False, [1, 2])
    await server.stop()


async def test_clients_come_and_go_on_one_port() -> None:
    server = RtuPtyServer({1: Bank()})
    path = await server.start()
    for _ in range(3):
        link = ModbusLink(Link("bus", LinkType.MODBUS_RTU, serial=SerialLine(path, 115200), timeout_s=3.0), SystemClock())
        await link.open()
        assert await link.read(1, 100, 10) == VALUES_10[3:-2]
        await link.close()
    await server.stop()
    with pytest.raises(OSError, match="No such file"):
        serial.Serial(path)


async def test_port_is_also_found_at_the_alias(tmp_path: Path) -> None:
    alias = tmp_path / "bus"
    alias.symlink_to("/dev/pts/no-such-one")  # left by one that was killed
    server = RtuPtyServer({1: Bank()}, alias)
    assert await server.start() == str(alias)
    link = ModbusLink(Link("bus", LinkType.MODBUS_RTU, serial=SerialLine(str(alias)), timeout_s=3.0), SystemClock())
    await link.open()
    assert await link.read(1, 100, 10) == VALUES_10[3:-2]
    await link.close()
    await server.stop()
    assert not alias.is_symlink()
    taken = tmp_path / "taken"
    taken.touch()
    with pytest.raises(Unreachable, match="exists"):
        await RtuPtyServer({}, taken).start()


async def test_address_in_use_and_stopping() -> None:
    server = RtuTcpServer("127.0.0.1", 0, {1: Bank()})
    host, port = await server.start()
    reader, writer = await asyncio.open_connection(host, port)
    with pytest.raises(Unreachable, match=f"{port}: address already in use"):
        await RtuTcpServer(host, port, {}).start()
    await server.stop()
    await server.stop()
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await reader.readexactly(1)
    writer.close()


async def test_clients_beyond_the_most_are_closed() -> None:
    server = RtuTcpServer("127.0.0.1", 0, {1: Bank()}, max_clients=1)
    host, port = await server.start()
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(READ_10)
    assert await reader.readexactly(len(VALUES_10)) == VALUES_10
    second, other = await asyncio.open_connection(host, port)
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await second.readexactly(1)
    other.close()
    writer.close()
    await server.stop()
