"""An RTU link never takes a late answer for the answer to the next request, on a serial port (a pseudo-terminal) and over TCP.

Answers carry no number here, so a late one looks like the answer to the next request. Register `a` holds the value `a`: an
answer to another question is always found out.
"""

from __future__ import annotations

import asyncio
import math
import random
import struct
from collections.abc import Iterable

import pytest
from modbus_device import until
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusIOException
from pymodbus.framer import FramerType
from rtu_device import HASTY_S, KINDS, Close, Request, Script, Step, TcpRtuDevice, frame, good_read, linked

from mimctl.model.errors import BadReply, DeviceRefusal, LinkDown, LinkTimeout
from mimctl.wire.modbus import ModbusLink

pytestmark = pytest.mark.usefixtures("nothing_raw")


async def rights_among(link: ModbusLink, addresses: Iterable[int], enough: float = math.inf) -> int:
    """How many of these reads gave the right values, until they are enough; the others failed, and none gave wrong ones."""
    rights = 0
    for address in addresses:
        try:
            await good_read(link, address)
        except (LinkTimeout, BadReply):
            continue
        rights += 1
        if rights >= enough:
            break
    return rights


async def test_stock_client_takes_the_answer_to_the_request_before() -> None:
    """The trap itself, shown on pymodbus's own client: asked 2000 it gives the values of 1000, and so on for ever."""
    device = TcpRtuDevice([lambda r: [1.5 * HASTY_S, r.good()]])
    await device.start()
    client = AsyncModbusTcpClient("127.0.0.1", port=device.port, framer=FramerType.RTU, timeout=HASTY_S, retries=0)
    await client.connect()
    with pytest.raises(ModbusIOException):
        await client.read_holding_registers(1000, count=10)
    wrong = await client.read_holding_registers(2000, count=10)
    client.close()
    await device.stop()
    assert wrong.registers == list(range(1000, 1010))


LATE = {"just late": 1.3, "after the quiet": 2.6, "much later": 4.5, "later than all patience": 9.0}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", LATE)
async def test_late_answer_is_never_taken_for_the_next(case: str, kind: str) -> None:
    """Asked 1000 and given up; asked 2000, the answer to 1000 comes, and so on for ever: not here."""
    late: Script = lambda r: [LATE[case] * HASTY_S, r.good()]  # noqa: E731
    async with linked(kind, late, timeout_s=HASTY_S) as (link, device):
        with pytest.raises(LinkTimeout):
            await link.read(1, 1000, 10)
        assert await rights_among(link, range(2000, 2030), enough=4) == 4
        assert link.counts.late + link.counts.probes >= 1
        assert device.accepted == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_every_answer_late_gives_errors_and_no_wrong_value(kind: str) -> None:
    late: Script = lambda r: [1.5 * HASTY_S, r.good()]  # noqa: E731
    async with linked(kind, *[late] * 6, timeout_s=HASTY_S) as (link, _):
        assert await rights_among(link, range(1000, 1040)) >= 5


@pytest.mark.parametrize("kind", KINDS)
async def test_late_refusal_is_not_taken_for_one_of_the_next_request(kind: str) -> None:
    """A walk over a model chain would take it for the end of the chain."""
    async with linked(kind, lambda r: [3 * HASTY_S, r.exception(2)], timeout_s=HASTY_S) as (link, _):
        with pytest.raises(LinkTimeout):
            await link.read(1, 1000, 10)
        assert await rights_among(link, range(2000, 2010)) >= 5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("code", [10, 11])
@pytest.mark.parametrize("late_by", [0.75, 2.0])
async def test_answer_of_a_slave_slower_than_its_gateway_is_not_taken_for_the_next(late_by: float, code: int, kind: str) -> None:
    """A gateway that gives up sooner than the slave passes the answer on all the same: asked 2000 it would be that of 1000."""
    late: Script = lambda r: [r.exception(code), late_by * HASTY_S, r.good()]  # noqa: E731
    slow: Script = lambda r: [0.9 * HASTY_S, r.good()]  # noqa: E731
    async with linked(kind, late, slow, timeout_s=HASTY_S) as (link, device):
        with pytest.raises(DeviceRefusal) as caught:
            await link.read(1, 1000, 10)
        assert caught.value.code == code
        assert await rights_among(link, range(2000, 2010)) >= 5
        assert device.accepted == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_gateway_that_cannot_reach_its_slave_says_so_each_time(kind: str) -> None:
    """No request is sent whose answer could be confused; a write to such a unit fails as a read does, and it comes back."""
    gone: Script = lambda r: [r.exception(11)]  # noqa: E731
    async with linked(kind, gone, gone, gone, gone, timeout_s=0.25) as (link, device):
        for _ in range(2):
            with pytest.raises(DeviceRefusal, match="function 3"):
                await link.read(1, 1000, 10)
            with pytest.raises(DeviceRefusal, match="function 16"):
                await link.write(1, 40, b"\0\1")
        await good_read(link, 2000)
        await link.write(1, 40, b"\0\1")
        assert (link.counts.timeouts, device.accepted) == (0, 1)


@pytest.mark.parametrize("kind", KINDS)
async def test_late_write_answer_does_not_confirm_the_next_write(kind: str) -> None:
    """The second write must have been taken itself: same registers, other values."""
    async with linked(kind, lambda r: [3 * HASTY_S, r.good()], timeout_s=HASTY_S) as (link, device):
        with pytest.raises(LinkTimeout):
            await link.write(1, 40, b"\0\1\0\2")
        confirmed = False
        while not confirmed:
            before = len([r for r in device.seen if r.function == 16])
            try:
                await link.write(1, 40, b"\0\3\0\4")
            except (LinkTimeout, BadReply):
                continue
            confirmed = True
            assert len([r for r in device.seen if r.function == 16]) == before + 1
        assert device.seen[-1].raw[7:11] == b"\0\3\0\4"


@pytest.mark.parametrize("kind", KINDS)
async def test_late_answer_of_one_unit_does_not_touch_another(kind: str) -> None:
    late: Script = lambda r: [1.5 * HASTY_S, r.good()]  # noqa: E731
    async with linked(kind, late, timeout_s=HASTY_S) as (link, device):
        with pytest.raises(LinkTimeout):
            await link.read(1, 1000, 10)
        await good_read(link, 2000, unit=2)
        assert [r.unit for r in device.seen] == [1, 2], "another unit needs no proof"
        assert link.counts.late == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_half_of_a_late_answer_does_not_spoil_the_next(kind: str) -> None:
    def half(request: Request) -> list:  # type: ignore[type-arg]
        return [request.good()[:12], 3.5 * HASTY_S, request.good()[12:]]

    async with linked(kind, half, timeout_s=HASTY_S) as (link, _):
        with pytest.raises(LinkTimeout):
            await link.read(1, 1000, 10)
        for _ in range(10):
            try:
                await good_read(link)
            except (LinkTimeout, BadReply):
                continue
            break
        await good_read(link, 3000)


@pytest.mark.parametrize("kind", KINDS)
async def test_cancelled_caller_leaves_the_link_usable(kind: str) -> None:
    async with linked(kind, lambda r: [0.1, r.good()], timeout_s=0.3) as (link, device):
        task = asyncio.create_task(link.read(1, 1000, 10))
        await until(lambda: device.seen)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await good_read(link)
        assert link.counts.late == 1


async def test_gateway_that_answers_late_through_the_next_connection() -> None:
    """A transparent gateway sends what comes from the bus to whoever is connected at that time."""
    async with linked("tcp", lambda r: [Close], timeout_s=HASTY_S) as (link, device):
        with pytest.raises(LinkDown):
            await link.read(1, 1000, 10)
        await until(lambda: link.connected)
        assert isinstance(device, TcpRtuDevice)
        stale = frame(1, b"\x03\x14" + struct.pack(">10H", *range(1000, 1010)))
        device.scripts.append(lambda r: [stale, r.good()])
        await good_read(link, 2000)
        assert link.counts.late == 1


@pytest.mark.parametrize(("kind", "seed"), [("tcp", 1), ("pty", 2)])
async def test_whatever_comes_whenever_no_value_is_wrong(seed: int, kind: str) -> None:
    """A bus that answers late, in halves, garbled, with refusals or not at all, in any order."""
    dice, refused = random.Random(seed), set()

    def anyhow(request: Request) -> list[Step]:
        if dice.random() < 0.1:
            refused.add(request.address)
            answer = request.exception(2)
        else:
            answer = request.good()
        late_s = dice.choice([0.0, 0.0, 0.0, 0.5, 1.2, 1.8, 2.5, 4.0]) * HASTY_S / 2
        cut = dice.randrange(len(answer))
        return dice.choice([
            [answer], [answer], [late_s, answer], [late_s, answer], [answer[:cut], late_s, answer[cut:]], [answer[:cut]],
            [dice.randbytes(5), answer], [answer[:-1] + b"\0"], [],
        ])  # fmt: skip

    rights = 0
    async with linked(kind, *[anyhow] * 10_000, timeout_s=HASTY_S / 2) as (link, _):
        for n in range(35):
            address, count, unit = 1000 + 50 * n, dice.choice([1, 2, 10]), dice.choice([1, 1, 2])
            try:
                await good_read(link, address, count, unit)
            except (LinkTimeout, BadReply):
                continue
            except DeviceRefusal:
                assert address in refused
                continue
            rights += 1
    assert rights >= 1
