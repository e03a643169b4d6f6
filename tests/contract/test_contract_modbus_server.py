"""What the Modbus server answers to clients of other makers, to pipelined and to malformed requests."""

from __future__ import annotations

import asyncio
import shutil
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from pymodbus.client import ModbusTcpClient
from pymodbus.pdu import ModbusPDU

from mimctl.model.clock import SystemClock
from mimctl.model.errors import DeviceRefusal, Unreachable
from mimctl.model.link import Link, LinkType
from mimctl.wire import tls
from mimctl.wire.modbus import ModbusLink
from mimctl.wire.modbus_server import ModbusServer

SIZE = 1000


class Bank:
    """Registers 0 to 999; register `a` starts as `a`."""

    def __init__(self, offset: int = 0) -> None:
        self.memory = bytearray(struct.pack(f">{SIZE}H", *((a + offset) % 65536 for a in range(SIZE))))
        self.written: list[tuple[int, bytes]] = []

    def read(self, address: int, count: int) -> bytes:
        if address + count > SIZE:
            raise DeviceRefusal("bank", "beyond the end", 2)
        return bytes(self.memory[2 * address : 2 * (address + count)])

    def write(self, address: int, data: bytes) -> None:
        if address >= 900:
            raise DeviceRefusal("bank", "read only", 2)
        self.written.append((address, data))
        self.memory[2 * address : 2 * address + len(data)] = data


class Faulty(Bank):
    def read(self, address: int, count: int) -> bytes:
        raise ZeroDivisionError


@asynccontextmanager
async def served(**options: object) -> AsyncIterator[tuple[ModbusServer, str, int, Bank]]:
    bank = Bank()
    server = ModbusServer("127.0.0.1", 0, {1: bank, 7: Bank(offset=10_000), 9: Faulty()}, **options)
    host, port = await server.start()
    try:
        yield server, host, port, bank
    finally:
        await server.stop()


def frame(tid: int, unit: int, pdu: bytes) -> bytes:
    return struct.pack(">HHHB", tid, 0, len(pdu) + 1, unit) + pdu


@asynccontextmanager
async def raw(host: str, port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        yield reader, writer
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def answer(reader: asyncio.StreamReader) -> tuple[int, int, bytes]:
    """Transaction id, unit, PDU."""
    tid, protocol, length, unit = struct.unpack(">HHHB", await reader.readexactly(7))
    assert protocol == 0
    return tid, unit, await reader.readexactly(length - 1)


READ_10 = b"\x03\x00\x64\x00\x0a"
VALUES_10 = b"\x03\x14" + struct.pack(">10H", *range(100, 110))

# the exception codes are those of the Modbus application protocol, section 6 (state diagrams of each function) and 7
ANSWERS: dict[str, tuple[int, bytes, bytes]] = {
    "read holding registers": (1, READ_10, VALUES_10),
    "read input registers": (1, b"\x04" + READ_10[1:], b"\x04" + VALUES_10[1:]),
    "125 registers": (1, b"\x03\x00\x00\x00\x7d", b"\x03\xfa" + struct.pack(">125H", *range(125))),
    "126 registers": (1, b"\x03\x00\x00\x00\x7e", b"\x83\x03"),
    "126 input registers": (1, b"\x04\x00\x00\x00\x7e", b"\x84\x03"),
    "0 registers": (1, b"\x03\x00\x00\x00\x00", b"\x83\x03"),
    "beyond the end": (1, b"\x03\x03\xe7\x00\x02", b"\x83\x02"),
    "unknown unit": (2, READ_10, b"\x83\x0b"),
    "unknown unit, write": (2, b"\x06\x00\x01\x00\x02", b"\x86\x0b"),
    "another unit": (7, b"\x03\x00\x01\x00\x01", b"\x03\x02" + struct.pack(">H", 10_001)),
    "coils": (1, b"\x01\x00\x00\x00\x08", b"\x81\x01"),
    "unknown function": (1, b"\x63\x00", b"\xe3\x01"),
    "function above 0x80": (1, b"\x83\x00", b"\x83\x01"),
    "cut short": (1, b"\x03\x00\x00", b"\x83\x03"),
    "write one": (1, b"\x06\x00\x05\x12\x34", b"\x06\x00\x05\x12\x34"),
    "write many": (1, b"\x10\x00\x05\x00\x02\x04\x00\x01\x00\x02", b"\x10\x00\x05\x00\x02"),
    "write with a lying byte count": (1, b"\x10\x00\x05\x00\x02\x06\x00\x01\x00\x02", b"\x90\x03"),
    "write of nothing": (1, b"\x10\x00\x05\x00\x00\x00", b"\x90\x03"),
    "write to a read-only register": (1, b"\x10\x03\x84\x00\x01\x02\x00\x01", b"\x90\x02"),
    "write and read": (1, b"\x17\x00\x64\x00\x01\x00\x05\x00\x01\x02\x00\x09", b"\x17\x02\x00\x64"),
}


@pytest.mark.parametrize("case", ANSWERS)
async def test_answer(case: str) -> None:
    unit, request, expected = ANSWERS[case]
    async with served() as (_, host, port, _bank), raw(host, port) as (reader, writer):
        writer.write(frame(4711, unit, request))
        assert await answer(reader) == (4711, unit, expected)
        writer.write(frame(4712, 1, READ_10))
        assert await answer(reader) == (4712, 1, VALUES_10)


async def test_single_write_happens_once() -> None:
    async with served() as (_, host, port, bank), raw(host, port) as (reader, writer):
        writer.write(frame(1, 1, b"\x06\x00\x05\x12\x34"))
        await answer(reader)
        assert bank.written == [(5, b"\x12\x34")]


async def test_pipelined_requests_are_all_answered_in_order() -> None:
    """More than fit any buffer, in one segment."""
    async with served() as (_, host, port, _bank), raw(host, port) as (reader, writer):
        count = 3000
        writer.write(b"".join(frame(t, 1, struct.pack(">BHH", 3, t % 900, 1)) for t in range(count)))
        for t in range(count):
            assert await answer(reader) == (t, 1, b"\x03\x02" + struct.pack(">H", t % 900))


async def test_request_in_single_bytes() -> None:
    async with served() as (_, host, port, _bank), raw(host, port) as (reader, writer):
        for byte in frame(5, 1, READ_10):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        assert await answer(reader) == (5, 1, VALUES_10)


async def test_client_that_never_reads_does_not_fill_the_memory() -> None:
    async with served() as (_, host, port, bank), raw(host, port) as (_reader, writer):
        asked: list[int] = []
        read = bank.read
        bank.read = lambda a, c: asked.append(a) or read(a, c)  # type: ignore[method-assign, func-returns-value]
        flood = b"".join(frame(t % 65536, 1, struct.pack(">BHH", 3, 0, 125)) for t in range(100_000))
        writer.write(flood)
        before = -1
        while len(asked) != before:  # until the server stops by itself
            before = len(asked)
            await asyncio.sleep(0.05)
        assert 0 < len(asked) < 90_000
        writer.transport.abort()


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\x00\x01\x00\x00\x01\xf4\x01\x03", bytes(64)])
async def test_what_is_not_modbus_ends_its_connection_alone(garbage: bytes) -> None:
    async with served() as (_, host, port, _bank), raw(host, port) as (good_reader, good_writer):
        async with raw(host, port) as (reader, writer):
            writer.write(garbage)
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await reader.readexactly(1)
        good_writer.write(frame(5, 1, READ_10))
        assert await answer(good_reader) == (5, 1, VALUES_10)


async def test_fault_of_one_bank_is_a_device_failure_of_its_unit(caplog: pytest.LogCaptureFixture) -> None:
    async with served() as (_, host, port, _bank), raw(host, port) as (reader, writer):
        writer.write(frame(5, 9, READ_10) + frame(6, 1, READ_10))
        assert await answer(reader) == (5, 9, b"\x83\x04")
        assert await answer(reader) == (6, 1, VALUES_10)
    assert "unit 9 failed to answer function 3" in caplog.text


async def test_clients_beyond_the_most_are_closed_and_make_room_again() -> None:
    async with served(max_clients=2) as (_, host, port, _bank), raw(host, port):
        async with raw(host, port) as (second, writer):
            writer.write(frame(1, 1, READ_10))
            await answer(second)
            async with raw(host, port) as (third, _):
                with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                    await third.readexactly(1)

        async def served_again() -> bool:
            async with raw(host, port) as (reader, writer):
                writer.write(frame(1, 1, READ_10))
                try:
                    return await answer(reader) == (1, 1, VALUES_10)
                except (asyncio.IncompleteReadError, ConnectionError):
                    return False

        while not await served_again():  # noqa: ASYNC110 the place is free when the server has seen the end
            await asyncio.sleep(0.01)


async def test_stopping_closes_every_connection_and_frees_the_address() -> None:
    server = ModbusServer("127.0.0.1", 0, {1: Bank()})
    host, port = await server.start()
    async with raw(host, port) as (reader, writer), raw(host, port):
        writer.write(frame(1, 1, READ_10))
        await answer(reader)
        await server.stop()
        assert await reader.read() == b""
    await server.stop()
    again = ModbusServer(host, port, {1: Bank()})
    assert await again.start() == (host, port)
    with pytest.raises(Unreachable, match=f"{port}: address already in use"):
        await ModbusServer(host, port, {}).start()
    await again.stop()


async def test_failed_tls_handshakes_take_no_room(tmp_path: Path) -> None:
    pki = tls.make_throwaway_pki(tmp_path / "a")
    stranger = replace(tls.make_throwaway_pki(tmp_path / "b").client, ca=pki.client.ca)
    async with served(tls=tls.server_context(pki.server), max_clients=1) as (_, host, port, _bank):
        for _ in range(3):
            async with raw(host, port) as (reader, writer):
                writer.write(b"not TLS at all, but long enough to be sure of it")
                await asyncio.gather(reader.read(), return_exceptions=True)
        spec = Link("link", LinkType.MODBUS_TLS, host, port, timeout_s=3.0, tls=stranger)
        for files in (stranger, pki.client):
            link = ModbusLink(replace(spec, tls=files), SystemClock())
            await link.open()
            outcome = await asyncio.gather(link.read(1, 100, 10), return_exceptions=True)
            await link.close()
        assert outcome == [VALUES_10[2:]]


# ---- clients of other makers


async def in_thread(function, *arguments):  # type: ignore[no-untyped-def]
    return await asyncio.wait_for(asyncio.to_thread(function, *arguments), 20)


async def test_pymodbus_blocking_client() -> None:
    def ask(host: str, port: int) -> list[ModbusPDU]:
        with ModbusTcpClient(host, port=port, timeout=5) as client:
            return [
                client.read_holding_registers(100, count=10, device_id=1),
                client.write_registers(5, [1, 2], device_id=1),
                client.write_register(7, 3, device_id=1),
                client.read_holding_registers(5, count=3, device_id=1),
                client.read_holding_registers(0, count=1, device_id=3),
            ]

    async with served() as (_, host, port, bank):
        read, wrote, wrote_one, back, refused = await in_thread(ask, host, port)
    assert read.registers == list(range(100, 110))
    assert not wrote.isError()
    assert not wrote_one.isError()
    assert back.registers == [1, 2, 3]
    assert refused.exception_code == 0x0B
    assert bank.written == [(5, b"\0\1\0\2"), (7, b"\0\3")]


async def test_pysunspec2_client() -> None:
    import sunspec2.modbus.modbus as sunspec

    def ask(host: str, port: int) -> tuple[bytes, bytes, str]:
        client = sunspec.ModbusClientTCP(slave_id=1, ipaddr=host, ipport=port, timeout=5)
        client.connect()
        try:
            first = client.read(100, 200)
            client.write(5, b"\0\1\0\2")
            with pytest.raises(sunspec.ModbusClientException) as caught:
                client.read(999, 2)
            return first, client.read(5, 2), str(caught.value)
        finally:
            client.disconnect()

    async with served() as (_, host, port, _bank):
        first, back, refusal = await in_thread(ask, host, port)
    assert first == struct.pack(">200H", *range(100, 300))
    assert back == b"\0\1\0\2"
    assert "2" in refusal


@pytest.mark.skipif(shutil.which("mbpoll") is None, reason="mbpoll (Debian package) is not installed")
async def test_mbpoll() -> None:
    async with served() as (_, host, port, _bank):
        process = await asyncio.create_subprocess_exec(
            *("mbpoll", "-m", "tcp", "-p", str(port), "-a", "1", "-0", "-r", "100", "-c", "3", "-t", "4", "-1", host),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0, out.decode()
    for register in (100, 101, 102):
        assert f"[{register}]: \t{register}" in out.decode()


async def test_own_link_in_many_parallel_requests() -> None:
    async with served() as (_, host, port, _bank):
        link = ModbusLink(Link("link", LinkType.MODBUS_TCP, host, port, timeout_s=5.0), SystemClock())
        await link.open()
        answers = await asyncio.gather(*(link.read(1, a, 5) for a in range(200)))
        await link.close()
    assert answers == [struct.pack(">5H", *range(a, a + 5)) for a in range(200)]
