"""How the Modbus link stands up to every device that answers wrongly, late, in pieces or not at all.

The device is a bare asyncio server that does to one request what its script says and answers the following ones properly;
register `a` holds the value `a`, so an answer to another question is always found out.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from modbus_device import Close, Device, Request, Reset, Script, Step, until

from mimctl.model.clock import SystemClock
from mimctl.model.errors import BadReply, DeviceRefusal, LinkDown, LinkError, LinkTimeout
from mimctl.model.link import Link, LinkType
from mimctl.wire.modbus import LinkPolicy, ModbusLink

#: where an answer must come at once the timeout is far away, so that waiting it out shows as `LinkTimeout`
PATIENT_S, HASTY_S = 5.0, 0.1
FAST = LinkPolicy(
    reconnect_first_s=0.01, reconnect_max_s=0.05, connect_timeout_s=2.0, busy_first_s=0.005, max_silent=50, unit_tries=50
)


pytestmark = pytest.mark.usefixtures("nothing_raw")


@asynccontextmanager
async def linked(*scripts: Script, policy: LinkPolicy = FAST, **options: object) -> AsyncIterator[tuple[ModbusLink, Device]]:
    device = Device(list(scripts))
    await device.start()
    spec = replace(Link("link", LinkType.MODBUS_TCP, "127.0.0.1", device.port, timeout_s=PATIENT_S), **options)
    link = ModbusLink(spec, SystemClock(), policy=policy, rng=random.Random(1))
    await link.open()
    try:
        yield link, device
    finally:
        await link.close()
        await device.stop()


async def good_read(link: ModbusLink, address: int = 2000, count: int = 10, unit: int = 1) -> None:
    values = struct.unpack(f">{count}H", await link.read(unit, address, count))
    assert values == tuple(range(address, address + count))


async def back_up(link: ModbusLink) -> None:
    await until(lambda: link.connected)


# ---- an answer that is not the answer: the request fails at once, the next one is fine

WRONG: dict[str, tuple[Script, type[LinkError], bool]] = {
    # name: (what the device does, the error, does the connection live on)
    "fewer registers than asked": (lambda r: [r.short()], BadReply, True),
    "more registers than asked": (lambda r: [r.long()], BadReply, True),
    "no registers": (lambda r: [r.frame(bytes([3, 0]))], BadReply, True),
    "odd byte count": (lambda r: [r.frame(bytes([3, 19]) + bytes(19))], BadReply, True),
    "another read function": (lambda r: [r.frame(b"\x04" + r.good_pdu()[1:])], BadReply, True),
    "a write's answer to a read": (lambda r: [r.frame(b"\x10\x00\x00\x00\x0a")], BadReply, True),
    "unknown function": (lambda r: [r.frame(b"\x63\x02\x00\x00")], BadReply, True),
    "function code 0x80": (lambda r: [r.frame(b"\x80\x02")], BadReply, True),
    "exception of another function": (lambda r: [r.frame(b"\x90\x02")], BadReply, True),
    "exception without a code": (lambda r: [r.frame(b"\x83")], BadReply, True),
    "byte count larger than the frame": (lambda r: [r.frame(bytes([3, 40]) + r.registers())], BadReply, False),
    "byte count smaller than the frame": (lambda r: [r.frame(bytes([3, 10]) + r.registers())], BadReply, False),
    "nothing but a function code": (lambda r: [r.frame(b"\x03")], BadReply, False),
    "unit 0": (lambda r: [r.frame(r.good_pdu(), unit=0)], BadReply, True),
    "unit 255": (lambda r: [r.frame(r.good_pdu(), unit=255)], BadReply, True),
    "bad protocol id": (lambda r: [r.frame(r.good_pdu(), protocol=7)], BadReply, False),
    "leading garbage": (lambda r: [b"\xde\xad\xbe\xef" + r.good()], BadReply, False),
    "a web page": (lambda r: [b"HTTP/1.1 400 Bad Request\r\n\r\n"], BadReply, False),
    "length 0": (lambda r: [struct.pack(">HHHB", r.tid, 0, 0, 1)], BadReply, False),
    "length 300": (lambda r: [struct.pack(">HHHB", r.tid, 0, 300, 1)], BadReply, False),
    "closes instead": (lambda r: [Close], LinkDown, False),
    "resets instead": (lambda r: [Reset], LinkDown, False),
    "closes in the middle": (lambda r: [r.good()[:15], Close], LinkDown, False),
}


@pytest.mark.parametrize("case", WRONG)
async def test_wrong_answer_fails_its_request_at_once_and_no_other(case: str) -> None:
    script, kind, lives = WRONG[case]
    async with linked(script) as (link, device):
        with pytest.raises(kind) as caught:
            await link.read(1, 1000, 10)
        assert type(caught.value) is kind
        assert caught.value.device == "link unit 1"
        await back_up(link)
        await good_read(link)
        assert device.accepted == (1 if lives else 2)
        assert link.counts.timeouts == 0


@pytest.mark.parametrize("code", [1, 2, 3, 4, 10, 11])
@pytest.mark.parametrize("unit", [None, 0], ids=["own unit", "unit 0"])
async def test_exception_is_a_refusal_and_keeps_the_connection(code: int, unit: int | None) -> None:
    async with linked(lambda r: [r.exception(code, unit)]) as (link, device):
        with pytest.raises(DeviceRefusal) as caught:
            await link.read(1, 1000, 10)
        assert caught.value.code == code
        await good_read(link)
        assert (device.accepted, len(device.seen)) == (1, 2)


# ---- answers that are right although they look odd

RIGHT: dict[str, tuple[Script, dict[str, object]]] = {
    "split into single bytes": (lambda r: [bytes([b]) for b in r.good()], {}),
    "split in the header": (lambda r: [r.good()[:3], 0.02, r.good()[3:]], {}),
    "after a stale answer in the same segment": (lambda r: [r.frame(r.short()[7:], tid=r.tid + 500) + r.good()], {}),
    "after many stale answers": (lambda r: [r.frame(r.good_pdu(), tid=r.tid + 500) * 40 + r.good()], {}),
    "together with half of another answer": (
        lambda r: [r.good() + r.frame(r.good_pdu(), tid=900)[:9], 0.02, r.frame(r.good_pdu(), tid=900)[9:]],
        {},
    ),
    "transaction id 0 with the quirk": (lambda r: [r.frame(r.good_pdu(), tid=0)], {"tid_zero": True}),
    "unit 0 with the quirk": (lambda r: [r.frame(r.good_pdu(), unit=0)], {"any_unit": True}),
    "unit 255 with the quirk": (lambda r: [r.frame(r.good_pdu(), unit=255)], {"any_unit": True}),
}


@pytest.mark.parametrize("case", RIGHT)
async def test_odd_but_right_answer_is_taken(case: str) -> None:
    script, options = RIGHT[case]
    async with linked(script, **options) as (link, device):
        await good_read(link, 1000)
        await good_read(link)
        assert device.accepted == 1


@pytest.mark.parametrize(("asked", "answers"), [(0, 1), (0, 0), (255, 255), (247, 247)])
async def test_request_to_unit(asked: int, answers: int) -> None:
    async with linked(lambda r: [r.frame(r.good_pdu(), unit=answers)]) as (link, _):
        await good_read(link, 1000, unit=asked)


# ---- silence and lateness

SILENT: dict[str, Script] = {
    "nothing": lambda r: [],
    "another transaction id": lambda r: [r.frame(r.good_pdu(), tid=r.tid + 1000)],
    "transaction id 0 without the quirk": lambda r: [r.frame(r.good_pdu(), tid=0)],
    "half an answer": lambda r: [r.good()[:12]],
}


@pytest.mark.parametrize("case", SILENT)
async def test_silence_is_a_timeout(case: str) -> None:
    async with linked(SILENT[case], timeout_s=HASTY_S) as (link, _):
        with pytest.raises(LinkTimeout):
            await link.read(1, 1000, 10)
        assert link.counts.timeouts == 1


@pytest.mark.parametrize("tid_zero", [False, True])
async def test_late_answer_is_never_taken_for_the_next(tid_zero: bool) -> None:
    """Every answer of the device comes after the caller gave up; whatever is read afterwards is right or an error."""

    def answer(request: Request, *before: Step) -> list[Step]:
        return [*before, request.frame(request.good_pdu(), tid=0 if tid_zero else None)]

    scripts = [lambda r: answer(r, 3 * HASTY_S)] * 3 + [answer] * 40
    async with linked(*scripts, timeout_s=HASTY_S, tid_zero=tid_zero) as (link, device):
        errors, rights = 0, 0
        for address in range(1000, 1030):
            try:
                await good_read(link, address)
            except (LinkTimeout, LinkDown):
                errors += 1
                await back_up(link)
            else:
                rights += 1
            if rights >= 3:
                break
        assert errors >= 1
        assert rights >= 3
        assert device.accepted == 1 or tid_zero


async def test_half_of_a_late_answer_does_not_spoil_the_next() -> None:
    def late(request: Request) -> list[Step]:
        return [request.good()[:12]]

    def rest(request: Request) -> list[Step]:
        earlier = replace(request, tid=request.tid - 1, address=1000)
        return [earlier.good()[12:] + request.good()]

    async with linked(late, rest, timeout_s=HASTY_S) as (link, device):
        with pytest.raises(LinkTimeout):
            await link.read(1, 1000, 10)
        await good_read(link)
        assert device.accepted == 1
        assert link.counts.late == 1


async def test_unasked_answer_without_transaction_ids_costs_the_connection() -> None:
    def twice(request: Request) -> list[Step]:
        frame = request.frame(request.good_pdu(), tid=0)
        return [frame, 0.02, frame]

    async with linked(twice, tid_zero=True) as (link, device):
        await good_read(link, 1000)
        await until(lambda: device.accepted >= 2)
        await back_up(link)
        await good_read(link)


UNSETTLED: dict[str, tuple[Script, type[LinkError]]] = {
    "another unit": (lambda r: [r.frame(r.good_pdu(), tid=0, unit=9)], BadReply),
    "another function": (lambda r: [r.frame(b"\x04" + r.good_pdu()[1:], tid=0)], BadReply),
    "fewer registers": (lambda r: [r.frame(bytes([3, 10]) + r.registers(5), tid=0)], BadReply),
    "exception of another function": (lambda r: [r.frame(b"\x90\x02", tid=0)], BadReply),
    "exception from another unit": (lambda r: [r.frame(b"\x83\x02", tid=0, unit=9)], DeviceRefusal),
    "acknowledge": (lambda r: [r.frame(b"\x83\x05", tid=0)], DeviceRefusal),
    "gateway path unavailable": (lambda r: [r.frame(b"\x83\x0a", tid=0)], DeviceRefusal),
    "gateway target silent": (lambda r: [r.frame(b"\x83\x0b", tid=0)], DeviceRefusal),
}


@pytest.mark.parametrize("case", UNSETTLED)
async def test_true_answer_after_a_wrong_one_is_not_taken_for_the_next_request(case: str) -> None:
    """Without transaction ids: asked 2000 it would give the values of 1000, and so on for ever."""
    script, kind = UNSETTLED[case]
    late: Script = lambda r: [*script(r), 0.06, r.frame(r.good_pdu(), tid=0)]  # noqa: E731
    async with linked(late, lambda r: [0.15, r.frame(r.good_pdu(), tid=0)], tid_zero=True) as (link, device):
        with pytest.raises(kind):
            await link.read(1, 1000, 10)
        await back_up(link)
        await good_read(link, 2000)
        await good_read(link, 3000)
        assert device.accepted == 2


async def test_echo_of_another_write_without_transaction_ids_costs_the_connection() -> None:
    async with linked(lambda r: [r.frame(b"\x10\x00\x29\x00\x01", tid=0)], tid_zero=True) as (link, device):
        with pytest.raises(BadReply):
            await link.write(1, 40, b"\0\1")
        await back_up(link)
        await link.write(1, 40, b"\0\1")
        assert device.accepted == 2


@pytest.mark.parametrize("code", [1, 2, 3, 4])
async def test_refusal_of_the_device_itself_keeps_a_connection_without_transaction_ids(code: int) -> None:
    async with linked(lambda r: [r.frame(bytes([0x83, code]), tid=0)], tid_zero=True) as (link, device):
        with pytest.raises(DeviceRefusal):
            await link.read(1, 1000, 10)
        await good_read(link)
        assert device.accepted == 1


async def test_long_silence_over_all_units_ends_the_connection() -> None:
    silence: Script = lambda r: []  # noqa: E731
    policy = replace(FAST, max_silent=3)
    async with linked(silence, silence, silence, policy=policy, timeout_s=0.03) as (link, device):
        for unit in (1, 2, 3):
            with pytest.raises(LinkTimeout):
                await link.read(unit, 1000, 10)
        await asyncio.sleep(0)
        await back_up(link)
        await until(lambda: device.accepted >= 2)


async def test_cancelled_caller_leaves_the_link_usable() -> None:
    async with linked(lambda r: [0.1, r.good()]) as (link, device):
        task = asyncio.create_task(link.read(1, 1000, 10))
        await until(lambda: device.seen)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await good_read(link)
        assert device.accepted == 1
        assert link.counts.late == 1


async def test_cancelled_waiter_does_not_hold_up_the_queue() -> None:
    async with linked(lambda r: [0.1, r.good()]) as (link, _):
        first = asyncio.create_task(good_read(link, 1000))
        await asyncio.sleep(0)
        second = asyncio.create_task(good_read(link, 1100))
        third = asyncio.create_task(good_read(link, 1200))
        await asyncio.sleep(0.01)
        second.cancel()
        await asyncio.gather(first, third)
        assert second.cancelled()


# ---- busy devices


async def test_busy_device_is_asked_again() -> None:
    async with linked(lambda r: [r.exception(6)], lambda r: [r.exception(5)]) as (link, device):
        await good_read(link)
        assert len(device.seen) == 3
        assert link.counts.busy == 2


async def test_busy_without_end_is_refused_within_the_deadline() -> None:
    busy: Script = lambda r: [r.exception(6)]  # noqa: E731
    async with linked(*[busy] * 1000, timeout_s=0.05) as (link, _):
        with pytest.raises(DeviceRefusal) as caught:
            await link.read(1, 1000, 10)
        assert caught.value.code == 6


async def test_busy_unit_lets_others_through() -> None:
    policy = replace(FAST, busy_first_s=0.2)
    async with linked(lambda r: [r.exception(6)], policy=policy) as (link, device):
        busy = asyncio.create_task(good_read(link, 1000, unit=1))
        await until(lambda: device.seen)
        await good_read(link, 1100, unit=2)
        await busy
        assert [r.unit for r in device.seen] == [1, 2, 1]


# ---- writes


async def test_write_is_one_frame() -> None:
    async with linked() as (link, device):
        await link.write(7, 40, struct.pack(">3H", 1, 2, 3))
        await link.write(7, 41, struct.pack(">H", 9), function=6)
    assert [(r.unit, r.function, r.body) for r in device.seen] == [
        (7, 16, bytes.fromhex("0028 0003 06 0001 0002 0003")),
        (7, 6, bytes.fromhex("0029 0009")),
    ]


@pytest.mark.parametrize(
    "echo",
    [b"\x10\x00\x28\x00\x02", b"\x10\x00\x29\x00\x03", b"\x10\x00\x28", b"\x06\x00\x28\x00\x01", b"\x10\x00\x28\x00\x03\x00"],
)
async def test_write_answered_with_something_else_is_an_error(echo: bytes) -> None:
    async with linked(lambda r: [r.frame(echo)]) as (link, _):
        with pytest.raises(BadReply):
            await link.write(7, 40, struct.pack(">3H", 1, 2, 3))


async def test_writes_overtake_waiting_reads() -> None:
    async with linked(lambda r: [0.05, r.good()]) as (link, device):
        reads = [asyncio.create_task(good_read(link, a)) for a in (1000, 1100, 1200)]
        await asyncio.sleep(0.02)
        await link.write(1, 40, b"\0\1")
        await asyncio.gather(*reads)
        assert [r.function for r in device.seen] == [3, 16, 3, 3]


@pytest.mark.parametrize(("address", "count"), [(0, 0), (0, 126), (-1, 1), (65535, 2)])
async def test_impossible_read_never_reaches_the_wire(address: int, count: int) -> None:
    async with linked() as (link, device):
        with pytest.raises(ValueError, match="no such read"):
            await link.read(1, address, count)
        assert device.seen == []


@pytest.mark.parametrize(("data", "function"), [(b"", 16), (b"\0", 16), (bytes(248), 16), (bytes(4), 6)])
async def test_impossible_write_never_reaches_the_wire(data: bytes, function: int) -> None:
    async with linked() as (link, device):
        with pytest.raises(ValueError, match="no such write"):
            await link.write(1, 0, data, function=function)
        assert device.seen == []


# ---- the connection itself


async def test_refused_connection_is_said_and_bounded(free_port: int) -> None:
    link = ModbusLink(Link("link", LinkType.MODBUS_TCP, "127.0.0.1", free_port), SystemClock(), policy=FAST)
    await link.open()
    with pytest.raises(LinkDown, match="refused"):
        await link.read(1, 0, 1)
    assert not link.connected
    await link.close()


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 300, ""])
async def test_host_that_does_not_exist_is_a_link_down(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    if len(host) < 64:  # longer names fail before anybody is asked
        monkeypatch.setattr(socket, "getaddrinfo", unknown)
    link = ModbusLink(Link("link", LinkType.MODBUS_TCP, host, 502), SystemClock(), policy=FAST)
    await link.open()
    with pytest.raises(LinkDown):
        await link.read(1, 0, 1)
    await link.close()


async def test_closed_link_says_so() -> None:
    link = ModbusLink(Link("link", LinkType.MODBUS_TCP, "127.0.0.1", 1), SystemClock())
    with pytest.raises(LinkDown, match="not opened"):
        await link.read(1, 0, 1)
    await link.close()
    with pytest.raises(LinkDown, match="closed"):
        await link.read(1, 0, 1)


async def test_closing_fails_what_is_under_way() -> None:
    async with linked(lambda r: []) as (link, device):
        task = asyncio.create_task(link.read(1, 1000, 10))
        await until(lambda: device.seen)
        await link.close()
        with pytest.raises(LinkDown):
            await task


async def test_many_units_and_callers_share_one_connection() -> None:
    async with linked() as (link, device):
        await asyncio.gather(*(good_read(link, 100 * u, unit=u) for u in range(1, 60)))
        assert (device.accepted, device.most_at_once) == (1, 1)


async def test_gateway_that_allows_several_connections_is_asked_side_by_side() -> None:
    slow: Script = lambda r: [0.1, r.good()]  # noqa: E731
    async with linked(slow, slow, slow, max_connections=3) as (link, device):
        await until(lambda: link.counts.connections == 3)
        tasks = [asyncio.create_task(good_read(link, 100 * u, unit=u)) for u in (1, 2, 3)]
        await until(lambda: len(device.seen) == 3)
        assert not any(task.done() for task in tasks), "all three are under way at once"
        await asyncio.gather(*tasks)
        assert device.most_at_once == 3


async def test_gateway_that_allows_fewer_connections_than_the_site_file_says_still_serves() -> None:
    device = Device()
    await device.start()
    assert device.server is not None
    link = ModbusLink(
        Link("link", LinkType.MODBUS_TCP, "127.0.0.1", device.port, timeout_s=PATIENT_S, max_connections=2),
        SystemClock(),
        policy=FAST,
    )
    await link.open()
    await until(lambda: link.counts.connections == 2)
    device.server.close()  # no further one
    next(iter(device.writers)).transport.abort()
    await asyncio.gather(*(good_read(link, 100 * u, unit=u) for u in range(1, 20)), return_exceptions=True)
    await asyncio.gather(*(good_read(link, 100 * u, unit=u) for u in range(1, 20)))
    await link.close()
    await device.stop()


async def test_dead_unit_behind_a_gateway_does_not_starve_the_others() -> None:
    """The gateway says so itself (exception 11), after its own timeout on the bus."""
    policy = replace(FAST, unit_tries=2, unit_rest_first_s=60.0, unit_rest_max_s=60.0)
    scripts: list[Script] = [lambda r: [0.02, r.exception(11)] if r.unit == 5 else [r.good()]] * 100
    async with linked(*scripts, policy=policy) as (link, device):
        kinds = []
        for _ in range(10):
            for unit in (4, 6):
                await good_read(link, unit=unit)
            with pytest.raises(LinkError) as caught:
                await link.read(5, 1000, 10)
            kinds.append(type(caught.value))
        assert kinds == [DeviceRefusal] * 2 + [LinkTimeout] * 8
        assert [r.unit for r in device.seen].count(5) == 2


async def test_write_reaches_a_resting_unit_that_is_back() -> None:
    """A release at the stop of the service must not wait until the device would be read again."""
    policy = replace(FAST, unit_tries=2, unit_rest_first_s=60.0, unit_rest_max_s=60.0, unit_write_pause_s=0.3)
    async with linked(*[lambda r: []] * 3, policy=policy, timeout_s=HASTY_S) as (link, device):
        for _ in range(3):
            with pytest.raises(LinkTimeout):
                await link.read(5, 1000, 10)
        with pytest.raises(LinkTimeout, match="no answer"):
            await link.write(5, 40, b"\0\0")
        with pytest.raises(LinkTimeout, match="asked again"):
            await link.write(5, 40, b"\0\0")
        assert [r.function for r in device.seen] == [3, 3, 16]
        await asyncio.sleep(0.35)
        await link.write(5, 40, b"\0\0")
        await good_read(link, unit=5)


async def test_write_function_of_the_link() -> None:
    async with linked(write_function=6) as (link, device):
        await link.write(1, 40, b"\0\1")
        await link.write(1, 40, b"\0\1\0\2")
    assert [r.function for r in device.seen] == [6, 16]


async def test_device_vanishes_and_comes_back() -> None:
    async with linked() as (link, device):
        await good_read(link)
        await device.stop()
        await until(lambda: not link.connected)
        with pytest.raises(LinkDown):
            await link.read(1, 1000, 10)
        await device.start()
        await back_up(link)
        await good_read(link)
        assert link.counts.connections == 2


async def test_device_that_accepts_and_closes_is_tried_ever_more_seldom() -> None:
    """Accepting alone must not reset the back-off."""
    waits: list[float] = []

    class Watching(LinkPolicy):
        def pause_s(self, attempt: int, rng: random.Random) -> float:
            waits.append(attempt)
            return 0.0

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    link = ModbusLink(Link("link", LinkType.MODBUS_TCP, "127.0.0.1", port), SystemClock(), policy=Watching())
    await link.open()
    await until(lambda: len(waits) >= 5)
    await link.close()
    server.close()
    await server.wait_closed()
    assert waits[:5] == [0, 1, 2, 3, 4]


def test_pauses_grow_are_bounded_and_scattered() -> None:
    policy, rng = LinkPolicy(reconnect_first_s=1.0, reconnect_max_s=30.0, jitter=0.5), random.Random(3)
    pauses = [[policy.pause_s(attempt, rng) for _ in range(50)] for attempt in (0, 1, 2, 10, 10_000)]
    for values, longest in zip(pauses, (1.0, 2.0, 4.0, 30.0, 30.0), strict=True):
        assert all(longest / 2 <= v <= longest for v in values)
        assert len(set(values)) == 50


async def test_gap_between_requests_is_kept() -> None:
    """On a clock of its own: the gap is asked for, not measured."""

    class Noting(SystemClock):
        def __init__(self) -> None:
            self.asked: list[float] = []

        async def sleep_until(self, monotonic_s: float) -> None:
            self.asked.append(monotonic_s - self.monotonic_s())

    clock, device = Noting(), Device()
    await device.start()
    link = ModbusLink(
        Link("link", LinkType.MODBUS_TCP, "127.0.0.1", device.port, request_gap_s=5.0, connect_delay_s=9.0), clock, policy=FAST
    )
    await link.open()
    await good_read(link)
    await good_read(link)
    await link.close()
    await device.stop()
    after_connect, first, second = clock.asked[:3]
    assert after_connect == pytest.approx(9.0, abs=0.5)
    assert first < 0
    assert second == pytest.approx(5.0, abs=0.5)
