"""How an RTU link stands up to noise, echoes, lies and silence, on a serial port (a pseudo-terminal) and over TCP alike.

Register `a` holds the value `a`: an answer to another question is always found out.
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import replace

import pytest
from modbus_device import until
from rtu_device import FAST, HASTY_S, KINDS, Close, Request, Script, TcpRtuDevice, frame, good_read, linked, silence, spec_of

from mimctl.model.clock import SystemClock
from mimctl.model.errors import BadReply, DeviceRefusal, LinkDown, LinkError, LinkTimeout
from mimctl.model.link import Link, LinkType, SerialLine
from mimctl.wire.modbus import ModbusLink

pytestmark = pytest.mark.usefixtures("nothing_raw")


# ---- an answer that is not the answer: the request fails, none is wrong, the next one is fine

WRONG: dict[str, tuple[Script, str]] = {
    "fewer registers than asked": (lambda r: [r.frame(bytes([3, 10]) + r.registers(5))], "should stand"),
    "more registers than asked": (lambda r: [r.frame(bytes([3, 24]) + r.registers(12))], "should stand"),
    "no registers": (lambda r: [r.frame(bytes([3, 0]))], "should stand"),
    "another read function": (lambda r: [r.frame(b"\x04" + r.good_pdu()[1:])], "function 4"),
    "a write's answer to a read": (lambda r: [r.frame(b"\x10\x00\x00\x00\x0a")], "function 16"),
    "exception of another function": (lambda r: [r.frame(b"\x90\x02")], "function 16"),
    "another unit": (lambda r: [r.frame(r.good_pdu(), unit=9)], "unit 9"),
    "wrong check sum": (lambda r: [r.good()[:-1] + bytes([r.good()[-1] ^ 1])], "check sum"),
    "check sum in the other order": (lambda r: [r.good()[:-2] + r.good()[:-3:-1]], "check sum"),
    "a bit turned over": (lambda r: [r.good()[:7] + bytes([r.good()[7] ^ 4]) + r.good()[8:]], "check sum"),
    "byte count larger than the frame": (lambda r: [r.frame(bytes([3, 40]) + r.registers())], "check sum"),
    "byte count smaller than the frame": (lambda r: [r.frame(bytes([3, 10]) + r.registers())], "check sum"),
    "unknown function": (lambda r: [r.frame(b"\x63" + bytes(24))], "check sum"),
    "wrong check sum of an exception": (lambda r: [r.exception(2)[:-1] + b"\0"], "check sum"),
    "nothing but noise": (lambda r: [bytes(range(100, 180))], "check sum"),
    "a web page": (lambda r: [b"HTTP/1.1 400 Bad Request\r\n\r\n"], "check sum"),
    "the request itself": (lambda r: [r.raw, r.good()], "local_echo"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", WRONG)
async def test_wrong_answer_fails_its_request_and_no_other(case: str, kind: str) -> None:
    script, why = WRONG[case]
    async with linked(kind, script, timeout_s=0.2) as (link, device):
        with pytest.raises(BadReply, match=why) as caught:
            await link.read(1, 1000, 10)
        assert caught.value.device == "link unit 1"
        await good_read(link)
        await good_read(link, 1000)
        assert device.accepted == 1
        assert link.counts.timeouts == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("code", [1, 2, 3, 4])
async def test_exception_is_a_refusal(code: int, kind: str) -> None:
    async with linked(kind, lambda r: [r.exception(code)]) as (link, device):
        with pytest.raises(DeviceRefusal) as caught:
            await link.read(1, 1000, 10)
        assert caught.value.code == code
        await good_read(link)
        assert len(device.seen) == 2


# ---- answers that are right although they look odd

RIGHT: dict[str, Script] = {
    "in single bytes": lambda r: [bytes([b]) for b in r.good()],
    "in two segments": lambda r: [r.good()[:3], 0.03, r.good()[3:]],
    "split in the check sum": lambda r: [r.good()[:-1], 0.03, r.good()[-1:]],
    "slow but in time": lambda r: [0.2, r.good()],
    "after noise": lambda r: [b"\x00\xff\x3f" + r.good()],
    "after noise that looks like its beginning": lambda r: [b"\x01\x03" + r.good()],
    "after one stray byte, then a pause": lambda r: [b"\x01", 0.02, r.good()],
    "before noise": lambda r: [r.good() + b"\x00\xff\x3f"],
    "after half of itself": lambda r: [r.good()[:9] + r.good()],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", RIGHT)
async def test_odd_but_right_answer_is_taken(case: str, kind: str) -> None:
    async with linked(kind, RIGHT[case]) as (link, device):
        await good_read(link, 1000)
        await good_read(link)
        assert (device.accepted, len(device.seen)) == (1, 2)


@pytest.mark.parametrize("kind", KINDS)
async def test_any_unit_may_answer_with_the_quirk(kind: str) -> None:
    async with linked(kind, lambda r: [r.frame(r.good_pdu(), unit=99)], any_unit=True) as (link, _):
        await good_read(link)


@pytest.mark.parametrize("kind", KINDS)
async def test_noise_between_requests_is_thrown_away(kind: str) -> None:
    def then_noise(request: Request) -> list:  # type: ignore[type-arg]
        return [request.good(), 0.02, b"\xde\xad\xbe\xef" + frame(1, b"\x03\x14" + bytes(20))]

    async with linked(kind, then_noise) as (link, _):
        await good_read(link, 1000)
        await asyncio.sleep(0.06)
        await good_read(link, 2000)


# ---- adapters that echo


@pytest.mark.parametrize("kind", KINDS)
async def test_local_echo_is_cut_off(kind: str) -> None:
    async with linked(kind, lambda r: [0.02, r.good()], echoes=True, local_echo=True) as (link, device):
        await good_read(link, 1000)
        await good_read(link)
        await link.write(1, 40, b"\0\1\0\2")
        await link.write(1, 40, b"\0\1", function=6)
        assert len(device.seen) == 4


@pytest.mark.parametrize("kind", KINDS)
async def test_echo_of_a_single_write_does_not_confirm_it(kind: str) -> None:
    """The answer to function 6 is the request itself: only the second copy is an answer."""
    async with linked(kind, silence, echoes=True, local_echo=True, timeout_s=HASTY_S) as (link, _):
        with pytest.raises(LinkTimeout):
            await link.write(1, 40, b"\0\1", function=6)


# ---- writes, order, silence


@pytest.mark.parametrize("kind", KINDS)
async def test_write_is_one_frame(kind: str) -> None:
    async with linked(kind) as (link, device):
        await link.write(7, 40, struct.pack(">3H", 1, 2, 3))
        await link.write(7, 41, struct.pack(">H", 9), function=6)
    assert [r.raw[:-2] for r in device.seen] == [
        bytes.fromhex("07 10 0028 0003 06 0001 0002 0003"),
        bytes.fromhex("07 06 0029 0009"),
    ]


@pytest.mark.parametrize("kind", KINDS)
async def test_write_function_of_the_link(kind: str) -> None:
    async with linked(kind, write_function=6) as (link, device):
        await link.write(1, 40, b"\0\1")
        await link.write(1, 40, b"\0\1\0\2")
    assert [r.function for r in device.seen] == [6, 16]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("echo", [b"\x10\x00\x28\x00\x02", b"\x10\x00\x29\x00\x03", b"\x06\x00\x28\x00\x01"])
async def test_write_answered_with_something_else_is_an_error(echo: bytes, kind: str) -> None:
    async with linked(kind, lambda r: [r.frame(echo)], timeout_s=0.2) as (link, _):
        with pytest.raises(BadReply):
            await link.write(7, 40, struct.pack(">3H", 1, 2, 3))


@pytest.mark.parametrize("kind", KINDS)
async def test_writes_overtake_waiting_reads(kind: str) -> None:
    async with linked(kind, lambda r: [0.05, r.good()]) as (link, device):
        reads = [asyncio.create_task(good_read(link, a)) for a in (1000, 1100, 1200)]
        await asyncio.sleep(0.02)
        await link.write(1, 40, b"\0\1")
        await asyncio.gather(*reads)
        assert [r.function for r in device.seen] == [3, 16, 3, 3]


@pytest.mark.parametrize("kind", KINDS)
async def test_busy_device_is_asked_again(kind: str) -> None:
    async with linked(kind, lambda r: [r.exception(6)], lambda r: [r.exception(6)]) as (link, device):
        await good_read(link)
        assert len(device.seen) == 3


@pytest.mark.parametrize("kind", KINDS)
async def test_device_at_work_is_asked_again_after_a_read_of_another_length(kind: str) -> None:
    """Exception 5 (acknowledge): the answer to the first request may still come."""
    async with linked(kind, lambda r: [r.exception(5)], timeout_s=HASTY_S) as (link, device):
        await good_read(link, 1000)
        assert [(r.address, r.count) for r in device.seen] == [(1000, 10), (1000, 1), (1000, 10)]


@pytest.mark.parametrize("kind", KINDS)
async def test_dead_unit_does_not_starve_the_others(kind: str) -> None:
    """In one sweep after another: the dead unit costs its tries once, then it rests and fails at once."""
    policy = replace(FAST, unit_tries=2, unit_rest_first_s=60.0, unit_rest_max_s=60.0)
    scripts: list[Script] = [lambda r: [] if r.unit == 5 else [r.good()]] * 200
    async with linked(kind, *scripts, policy=policy, timeout_s=HASTY_S) as (link, device):
        for sweep in range(20):
            for unit in (4, 5, 6):
                if unit == 5:
                    with pytest.raises(LinkTimeout):
                        await link.read(5, 1000, 10)
                else:
                    await good_read(link, 1000 + sweep, unit=unit)
        units = [r.unit for r in device.seen]
        assert (units.count(4), units.count(6)) == (20, 20)
        assert units.count(5) == 2
        assert link.counts.rested == 18


# ---- the connection itself


async def test_refused_connection_is_said_and_bounded(free_port: int) -> None:
    link = ModbusLink(Link("link", LinkType.MODBUS_RTU_TCP, "127.0.0.1", free_port), SystemClock(), policy=FAST)
    await link.open()
    with pytest.raises(LinkDown, match="refused"):
        await link.read(1, 0, 1)
    await link.close()


@pytest.mark.parametrize(("path", "why"), [("/dev/no-such-port", "no such file"), ("/dev/null", "."), (__file__, ".")])
async def test_port_that_is_none_is_a_link_down(path: str, why: str) -> None:
    link = ModbusLink(Link("link", LinkType.MODBUS_RTU, serial=SerialLine(path)), SystemClock(), policy=FAST)
    await link.open()
    with pytest.raises(LinkDown, match=why):
        await link.read(1, 0, 1)
    await link.close()


async def test_port_in_use_is_said() -> None:
    async with linked("pty") as (first, device):
        await good_read(first)
        second = ModbusLink(spec_of(device), SystemClock(), policy=FAST)
        await second.open()
        with pytest.raises(LinkDown, match="busy"):
            await second.read(1, 0, 1)
        await second.close()
        await good_read(first)


async def test_adapter_that_is_pulled_out_is_a_link_down_at_once() -> None:
    async with linked("pty", lambda r: [Close]) as (link, _):
        with pytest.raises(LinkDown):
            await link.read(1, 1000, 10)
        assert link.counts.timeouts == 0
        with pytest.raises(LinkError):
            await link.read(1, 1000, 10)


async def test_gateway_of_one_connection_serves_many_units() -> None:
    device = TcpRtuDevice(most=1)
    await device.start()
    link = ModbusLink(spec_of(device), SystemClock(), policy=FAST)
    await link.open()
    await asyncio.gather(*(good_read(link, 100 * u, unit=u) for u in range(1, 40)))
    assert device.accepted == 1
    await link.close()
    await device.stop()


async def test_closing_fails_what_is_under_way() -> None:
    for kind in KINDS:
        async with linked(kind, silence) as (link, device):
            task = asyncio.create_task(link.read(1, 1000, 10))
            await until(lambda seen=device.seen: seen)  # type: ignore[misc]
            await link.close()
            with pytest.raises(LinkDown):
                await task


async def test_line_that_never_falls_quiet_is_given_up() -> None:
    babble: Script = lambda r: [b"\x55", *[0.005, b"\x55"] * 600]  # noqa: E731
    async with linked("tcp", babble, timeout_s=0.15) as (link, device):
        with pytest.raises(LinkError):
            await link.read(1, 1000, 10)
        with pytest.raises(LinkDown, match="quiet"):
            await link.read(1, 1000, 10)
        await until(lambda: device.accepted >= 2)


def test_silence_and_time_of_a_character() -> None:
    """MODBUS over Serial Line V1.02, 2.5.1.1: 11 bits a character at 8E1; 3.5 end a frame, above 19200 bit/s always 1.75 ms."""
    assert SerialLine("x", 9600).character_s == pytest.approx(11 / 9600)
    assert SerialLine("x", 9600).silence_s == pytest.approx(4.0104e-3, rel=1e-4)
    assert SerialLine("x", 19200).silence_s == pytest.approx(2.0052e-3, rel=1e-4)
    assert SerialLine("x", 115200).silence_s == 1.75e-3
