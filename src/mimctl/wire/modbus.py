"""One Modbus link kept up and shared by every unit behind it: Modbus/TCP, Modbus/TCP Security, RTU on a serial port or over TCP."""

from __future__ import annotations

import asyncio
import random

from pymodbus.pdu import ExceptionResponse, ModbusPDU

from mimctl.model.clock import Clock
from mimctl.model.errors import BadReply, DeviceRefusal, LinkDown, LinkTimeout
from mimctl.model.link import Link
from mimctl.wire.modbus_breaker import UnitBreaker
from mimctl.wire.modbus_connection import Connection, ConnectionLost
from mimctl.wire.modbus_frames import READS, WRITES, LostFraming, WrongAnswer
from mimctl.wire.modbus_keeper import Keeper
from mimctl.wire.modbus_policy import LinkCounts, LinkPolicy
from mimctl.wire.modbus_queue import Lanes
from mimctl.wire.transport import READ_HOLDING, WRITE_MULTIPLE, WRITE_SINGLE

__all__ = ["EXCEPTION_NAMES", "LinkPolicy", "ModbusLink"]

#: exceptions that mean "ask again": 5 acknowledge (still at work), 6 server device busy
_BUSY = (5, 6)
#: names of the exception codes of the Modbus application protocol, section 7
EXCEPTION_NAMES = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "server device failure",
    5: "acknowledge",
    6: "server device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target device failed to respond",
}
_MAX_READ, _MAX_WRITE = 125, 123
_WRITE_FIRST, _READ_LATER = 0, 1


class ModbusLink:
    """A `wire.transport.Transport` over any kind of Modbus link.

    One request at a time is under way on each connection (there is one, unless the site file allows more); writes overtake waiting
    reads. Make one per host and port, or per serial port: many devices serve a single client. An answer counts only with the right
    transaction id (RTU: see `wire.rtu_connection`), unit, function code and lengths. A request fails at once when the peer closes
    or answers nonsense, after `link.timeout_s` when it is silent. Only "busy" is ever asked again. A unit that stays silent is left
    alone for a while, longer each time (`wire.modbus_breaker`); requests to it then fail at once, but for a write now and then.

    Holes that remain, by the protocol itself: with `tid_zero` an answer is told from an earlier one only by its connection, so
    every request without exactly its answer costs a reconnect; a device that answers the right transaction with another
    register's values cannot be found out here (register maps re-read their headers in the same frame).

    Args:
        rng: for the jitter of reconnection.
    """

    def __init__(self, link: Link, clock: Clock, *, policy: LinkPolicy | None = None, rng: random.Random | None = None) -> None:
        self._spec = link
        self._clock = clock
        self._policy = policy or LinkPolicy()
        self.counts = LinkCounts()
        dice = rng or random.Random()
        self._keepers = [
            Keeper(link, clock, self._policy, dice, self.counts, self._lane_changed) for _ in range(max(1, link.max_connections))
        ]
        self._lanes = Lanes(self._keepers)
        self._breaker = UnitBreaker(self._policy)
        self._silent = 0
        silence_s = link.serial.silence_s if link.serial is not None else 0.0
        self._gap_s = max(link.request_gap_s, silence_s)

    @property
    def link(self) -> str:
        return self._spec.id

    @property
    def connected(self) -> bool:
        return any(keeper.connected for keeper in self._keepers)

    @property
    def resting(self) -> tuple[int, ...]:
        """Units that are left alone for a while because they are silent."""
        return self._breaker.resting()

    async def open(self) -> None:
        """Start keeping the link up. Requests made while the very first attempt runs wait for its outcome."""
        for keeper in self._keepers:
            keeper.open()

    async def close(self) -> None:
        """Stop, and fail whatever is under way."""
        await asyncio.gather(*(keeper.close() for keeper in self._keepers))

    def background(self) -> tuple[asyncio.Task[None], ...]:
        """What keeps the connections up; none before `open` and after `close`."""
        return tuple(keeper.task for keeper in self._keepers if keeper.task is not None)

    def _lane_changed(self) -> None:
        self._lanes.pass_on()

    async def read(self, unit: int, address: int, count: int, *, function: int = READ_HOLDING) -> bytes:
        """See `Transport.read`.

        Raises:
            LinkDown, LinkTimeout, BadReply, DeviceRefusal
        """
        if not (1 <= count <= _MAX_READ and 0 <= address <= 0x10000 - count and 0 <= unit <= 255):
            raise ValueError(f"no such read: unit {unit}, {count} registers at {address}")
        answer = await self._request(READS[function](unit, address, count), _READ_LATER)
        data: bytes = getattr(answer, "data", b"")
        if len(data) != 2 * count:
            self.counts.wrong += 1
            raise BadReply(self._name(unit), f"{len(data)} bytes instead of {2 * count} for {count} registers at {address}")
        return data

    async def write(self, unit: int, address: int, data: bytes, *, function: int = WRITE_MULTIPLE) -> None:
        """See `Transport.write`.

        Raises:
            LinkDown, LinkTimeout, BadReply, DeviceRefusal
        """
        count = len(data) // 2
        most = _MAX_WRITE if function == WRITE_MULTIPLE else 1
        if len(data) % 2 or not (1 <= count <= most and 0 <= address <= 0x10000 - count and 0 <= unit <= 255):
            raise ValueError(f"no such write: unit {unit}, {len(data)} bytes at {address} by function {function}")
        if count == 1 and self._spec.write_function == WRITE_SINGLE:
            function = WRITE_SINGLE
        request = WRITES[function](unit, address, count, data)
        answer = await self._request(request, _WRITE_FIRST)
        echo: bytes = getattr(answer, "echo", b"")
        if echo != request.expected_echo():
            self.counts.wrong += 1
            raise BadReply(self._name(unit), f"the answer to a write at {address} repeats something else: {echo.hex()}")

    async def _request(self, request: ModbusPDU, urgency: int) -> ModbusPDU:
        """Ask, and ask again while the device says it is busy; other requests go through in between."""
        loop = asyncio.get_running_loop()
        deadline, pause_s = None, self._policy.busy_first_s
        while True:
            if self.connected:
                self._refuse_resting(request)  # at once, not when its turn comes
            lane = await self._lanes.acquire(urgency)
            try:
                deadline = deadline or loop.time() + self._policy.busy_deadline * self._spec.timeout_s
                answer = await self._exchange(lane, request)
            finally:
                self._lanes.give_back(lane)
            if not isinstance(answer, ExceptionResponse):
                return answer
            code = answer.exception_code
            if code not in _BUSY or not (self.connected and loop.time() + pause_s <= deadline):
                raise self._refusal(request, answer)
            self.counts.busy += 1
            await asyncio.sleep(pause_s)
            pause_s *= 2

    async def _exchange(self, lane: Keeper, request: ModbusPDU) -> ModbusPDU:
        """One request on the lane that the caller holds, one checked answer."""
        connection, name = await lane.up(), self._name(request.dev_id)
        self._refuse_resting(request)
        if _is_write(request):
            self._breaker.writing(request.dev_id, self._clock.monotonic_s())
        if self._gap_s > 0:  # a sleep of nothing would be a round of the event loop all the same
            await self._clock.sleep_until(lane.quiet_until_s)
        self.counts.requests += 1
        began_s = self._clock.monotonic_s()
        try:
            answer = await connection.ask(request)
        except TimeoutError as error:
            self._note_silence(connection, request.dev_id, began_s)
            raise LinkTimeout(name, f"no answer within {self._spec.timeout_s:g} s") from error
        except ConnectionLost as error:
            raise LinkDown(name, str(error)) from error
        except (WrongAnswer, LostFraming) as error:
            raise BadReply(name, str(error)) from error
        finally:
            lane.quiet_until_s = self._clock.monotonic_s() + self._gap_s
        self._silent = 0
        lane.answered()
        if isinstance(answer, ExceptionResponse) and self._refusal(request, answer).is_silence:
            self._breaker.silent(request.dev_id, self._clock.monotonic_s(), self._clock.monotonic_s() - began_s)
        else:
            self._breaker.answered(request.dev_id, self._clock.monotonic_s())
        if answer.function_code & 0x7F != request.function_code:
            self.counts.wrong += 1
            raise BadReply(name, f"an answer to function {answer.function_code & 0x7F} instead of {request.function_code}")
        return answer

    def _refuse_resting(self, request: ModbusPDU) -> None:
        unit, pace = request.dev_id, self._breaker.write_rest_s if _is_write(request) else self._breaker.rest_s
        rest_s = pace(unit, self._clock.monotonic_s())
        if rest_s > 0:
            self.counts.rested += 1
            raise LinkTimeout(self._name(unit), f"it has been silent; it is asked again in {rest_s:.1f} s")

    def _note_silence(self, connection: Connection, unit: int, began_s: float) -> None:
        self.counts.timeouts += 1
        self._silent += 1
        now_s = self._clock.monotonic_s()
        self._breaker.silent(unit, now_s, now_s - began_s)
        if self._silent >= self._policy.max_silent:
            self._silent = 0
            connection.drop(f"{self._policy.max_silent} requests on end without an answer")

    def _refusal(self, request: ModbusPDU, answer: ExceptionResponse) -> DeviceRefusal:
        name = EXCEPTION_NAMES.get(answer.exception_code, "unknown exception")
        return DeviceRefusal(self._name(request.dev_id), f"{name} (function {request.function_code})", answer.exception_code)

    def _name(self, unit: int) -> str:
        return f"{self.link} unit {unit}"


def _is_write(request: ModbusPDU) -> bool:
    return request.function_code in WRITES
