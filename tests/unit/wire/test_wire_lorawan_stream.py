"""The event stream against brokers that are no friends: what they refuse is told, and tried again."""

from __future__ import annotations

import asyncio
import socket

import structlog

from lorawan_air import until
from mimctl.model.clock import SystemClock
from mimctl.model.link import Link, LinkType
from mimctl.model.lorawan import LorawanLink
from mimctl.wire.chirpstack.stream import Backoff, EventStream, ForgivingLoop

#: MQTT 3.1.1: connection accepted; a subscription refused (0x80) after its two bytes of message id
ACCEPTED, REFUSED = b"\x20\x02\x00\x00", b"\x90\x03"


async def test_a_subscription_that_the_broker_refuses_is_no_connection():
    asked: list[bytes] = []

    async def broker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1024)
        writer.write(ACCEPTED)
        asked.append(await reader.read(1024))
        writer.write(REFUSED + asked[-1][2:4] + b"\x80")
        await reader.read(1024)
        writer.close()

    server = await asyncio.start_server(broker, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    link = Link("air", LinkType.LORAWAN, "127.0.0.1", port, lorawan=LorawanLink("application", "127.0.0.1"))
    stream = EventStream(link, "a/+", "me", SystemClock(), take=lambda *_: None, answer_s=2.0, backoff=Backoff(0.05, 0.1))
    await stream.open()
    await until(lambda: len(asked) >= 2)
    assert not stream.connected
    assert "refuses to let us read a/+" in stream.why
    await stream.close()
    server.close()
    await server.wait_closed()


async def test_a_fault_of_its_own_is_logged_with_where_and_does_not_end_it():
    """A message that nobody can take, each time anew: the pauses grow, and the stream goes on."""
    connected = 0

    async def broker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connected
        connected += 1
        await reader.read(1024)
        writer.write(ACCEPTED)
        writer.write(REFUSED + (await reader.read(1024))[2:4] + b"\x01")
        writer.write(b"\x30\x06\x00\x03a/bx")
        await reader.read(1024)
        writer.close()

    def fails(*_: object) -> None:
        raise KeyError("nobody thought of this")

    server = await asyncio.start_server(broker, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    link = Link("air", LinkType.LORAWAN, "127.0.0.1", port, lorawan=LorawanLink("application", "127.0.0.1"))
    stream = EventStream(link, "a/+", "me", SystemClock(), take=fails, answer_s=2.0, backoff=Backoff(0.01, 0.05))
    with structlog.testing.capture_logs() as told:
        await stream.open()
        await until(lambda: connected >= 3)
        await stream.close()
    assert "KeyError" in stream.why
    assert {type(line["exc_info"]) for line in told if line["log_level"] == "error"} == {KeyError}
    server.close()
    await server.wait_closed()


async def test_a_socket_that_was_closed_meanwhile_is_passed_over_and_an_open_one_is_looked_after():
    loop, heard = ForgivingLoop(asyncio.get_running_loop()), asyncio.Event()
    one, other = socket.socketpair()
    closed = one.fileno()
    one.close()
    for add in (loop.add_reader, loop.add_writer):
        add(closed, heard.set)
        add(-1, heard.set)
    assert not heard.is_set()
    loop.add_writer(other.fileno(), heard.set)
    await heard.wait()
    loop.remove_writer(other.fileno())
    other.close()
