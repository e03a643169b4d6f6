"""RTU frames on a serial port or over TCP, where nothing but order tells one answer from another.

An answer counts only with the right unit, function code, byte count (or echo) and check sum, whatever noise stands before it. When
a request ends without its answer, or with a gateway's word that its slave is silent, the answer may still come. Before anything is
asked again the line must have been quiet for the timeout, and what came meanwhile is thrown away. That alone would not do: an
answer may be later still. So before a request whose answer could be confused with one that is outstanding (same unit and
function), a small read of another length is sent. Devices answer in order: once that read is answered, the earlier answer has come
and was thrown away, or never will.
"""

from __future__ import annotations

import asyncio
import errno
import termios
from typing import cast

from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.framer import FramerRTU, FramerType
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU
from pymodbus.transport.serialtransport import SerialTransport, create_serial_connection

from mimctl.model.link import Link, LinkType, Parity, SerialLine
from mimctl.wire.modbus_connection import Connection, ConnectionLost
from mimctl.wire.modbus_frames import READS, Frame, WrongAnswer, is_settled
from mimctl.wire.modbus_policy import LinkCounts
from mimctl.wire.rtu_frames import EXCEPTION_SIZE, Expected, whole_answer
from mimctl.wire.rtu_ghosts import Ghosts
from mimctl.wire.serial_direction import is_pseudo, switch_direction
from mimctl.wire.transport import READ_HOLDING

_PARITY = {Parity.EVEN: "E", Parity.ODD: "O", Parity.NONE: "N"}
#: so long after enough bytes without a right check sum nothing will mend them any more [s]
_SETTLE_S = 0.05
#: a line that talks for so many times the quiet that was waited for talks for ever
_PATIENCE = 6
#: more bytes than any answer with noise around it
_MOST_BYTES = 2048


class RtuConnection(Connection):
    """One serial port, or one TCP connection to a gateway that passes RTU frames on.

    Args:
        ghosts: answers outstanding on the link, from this connection and from those before it.
    """

    def __init__(self, link: Link, counts: LinkCounts, ghosts: Ghosts) -> None:
        client: AsyncModbusSerialClient | AsyncModbusTcpClient
        if link.type is LinkType.MODBUS_RTU:
            self._line = link.serial or SerialLine("")
            client = AsyncModbusSerialClient(self._line.device, timeout=link.timeout_s, retries=0, reconnect_delay=0)
        else:
            client = AsyncModbusTcpClient(
                link.host, port=link.port, framer=FramerType.RTU, timeout=link.timeout_s, retries=0, reconnect_delay=0
            )
        super().__init__(client, FramerRTU(DecodePDU(False)), counts)
        self._link = link
        self._ghosts = ghosts
        self._made = asyncio.Event()
        self._wanted: Expected | None = None
        self._sent = b""
        self._echo_due = False
        self._settling: asyncio.TimerHandle | None = None
        silence_s, self._character_s = (link.serial.silence_s, link.serial.character_s) if link.serial else (0.0, 0.0)
        self._silence_s = silence_s
        self._quiet_s = max(link.timeout_s, silence_s)
        self._quiet_at_s = float("-inf")

    # ---- the connection itself

    async def dial(self, timeout_s: float) -> None:
        if self._link.type is LinkType.MODBUS_RTU:
            await self._dial_serial(timeout_s)
        else:
            await self._dial_tcp(timeout_s)
        if self._ghosts.any(self.loop.time()):
            self._quiet_at_s = self.loop.time() + self._quiet_s

    async def _dial_serial(self, timeout_s: float) -> None:
        line = self._line
        try:
            self.transport, _ = await create_serial_connection(
                self.loop,
                lambda: self,
                line.device,
                baudrate=line.baudrate,
                bytesize=line.byte_size,
                parity=_PARITY[_parity_of(line)],
                stopbits=line.stop_bits,
            )
        except termios.error as error:  # a port that does not know such settings
            raise OSError(*error.args) from error
        except OSError as error:
            if error.errno == errno.EAGAIN:  # somebody holds the lock on it
                raise OSError(errno.EBUSY, f"{line.device} is in use by another program") from error
            raise
        async with asyncio.timeout(timeout_s):
            await self._made.wait()
        switch_direction(cast(SerialTransport, self.transport).sync_serial, line, local_echo=self._link.local_echo)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._made.set()

    async def hang_up(self) -> None:
        if self._settling is not None:
            self._settling.cancel()
        if self._link.type is LinkType.MODBUS_RTU:
            self.drop("closed here")  # a port has no other side that must agree
        else:
            await super().hang_up()

    # ---- asking

    async def ask(self, request: ModbusPDU) -> ModbusPDU:
        await self._fall_quiet()
        wanted = self._expected(request)
        if self._ghosts.like(wanted, self.loop.time()):
            instead = await self._flush_out(request, wanted)
            if instead is not None:
                return instead
        answer = await self._one(request, wanted)
        if not is_settled(answer):
            return answer
        if isinstance(answer, ExceptionResponse) and self._ghosts.like(wanted, self.loop.time()):
            self._ghosts.add(wanted, self.loop.time())
            raise WrongAnswer("a refusal that may belong to an earlier request")
        self._ghosts.outlived(wanted.unit)
        return answer

    async def _one(self, request: ModbusPDU, wanted: Expected) -> ModbusPDU:
        """One request and what looks like its answer; without one that is final, it is outstanding from now on."""
        request_size = 8 if request.function_code in READS else 9 + 2 * request.count
        on_the_wire = wanted.size + request_size * (2 if self._link.local_echo else 1)
        self.comm_params.timeout_connect = self._link.timeout_s + on_the_wire * self._character_s
        self._received, self._wanted = b"", wanted
        try:
            return await super().ask(request)
        finally:
            self._wanted = None

    def _after(self) -> None:
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None
        future = self.response_future
        if future.done() and not future.cancelled() and future.exception() is None and is_settled(future.result()):
            return
        now_s = self.loop.time()
        if self._wanted is not None:
            self._ghosts.add(self._wanted, now_s)
        self._quiet_at_s = now_s + self._quiet_s

    async def _fall_quiet(self) -> None:
        """Wait until nothing has come for long enough.

        Raises:
            ConnectionLost
        """
        until_s = self.loop.time() + _PATIENCE * self._quiet_s
        while not self.lost.done() and (wait_s := self._quiet_at_s - self.loop.time()) > 0:
            if self.loop.time() > until_s:
                self.drop("the line never falls quiet")
                break
            await asyncio.sleep(wait_s)
        if self.lost.done():
            raise ConnectionLost(self.lost.result())

    async def _flush_out(self, request: ModbusPDU, wanted: Expected) -> ExceptionResponse | None:
        """Have the device answer something that cannot be confused with what is outstanding.

        Returns:
            What stands for the answer to the request, which was not sent: a gateway cannot reach the device, or it is at work.

        Raises:
            TimeoutError, WrongAnswer: it did not; the request was not sent.
        """
        probe = self._probe(request)
        expected = self._expected(probe)
        self._counts.probes += 1
        answer = await self._one(probe, expected)
        if isinstance(answer, ExceptionResponse) and not is_settled(answer):
            return ExceptionResponse(request.function_code, answer.exception_code)
        if not isinstance(answer, ExceptionResponse) or not self._ghosts.like(expected, self.loop.time()):
            self._ghosts.outlived(wanted.unit)
            return None
        # refused: this read, or late the first one alike. Either way that first one is over, but this one may still come.
        self._ghosts.refused(expected)
        self._ghosts.add(expected, self.loop.time())
        if any((g.function, g.head) == (wanted.function, wanted.head) for g in self._ghosts.like(wanted, self.loop.time())):
            raise WrongAnswer("not asked: an earlier answer that may still come could not be told from it")
        return None

    def _probe(self, request: ModbusPDU) -> ModbusPDU:
        """A read at the same place, of a length that nothing outstanding has."""
        kind = READS.get(request.function_code, READS[READ_HOLDING])
        counts = range(1, min(125, 0x10000 - request.address) + 1)
        like = self._ghosts.like(self._expected(kind(request.dev_id, request.address, 1)), self.loop.time())
        taken = {answer.head for answer in like}
        count = next((c for c in counts if bytes((2 * c,)) not in taken), 1)
        return kind(request.dev_id, request.address, count)

    def _expected(self, request: ModbusPDU) -> Expected:
        return Expected.of(request, any_unit=self._link.any_unit)

    def send(self, data: bytes, addr: tuple[str, int] | None = None) -> None:
        self._sent, self._echo_due = data, self._link.local_echo
        super().send(data, addr)

    # ---- hearing

    def data_received(self, data: bytes) -> None:
        # not handed on: the stock framer takes any frame of the right unit for the answer
        self._received = (self._received + data)[-_MOST_BYTES:]
        if self._wanted is None or self.response_future.done():
            self._overhear()
            return
        try:
            frame = self._look(self._wanted)
        except WrongAnswer as error:
            self._counts.wrong += 1
            self._fail(error)
            return
        if frame is not None:
            self._answer(frame, any_unit=True)  # the unit is checked already

    def _overhear(self) -> None:
        """Nobody waits: whatever it is, it is late, and the line is not quiet."""
        late = self._ghosts.exorcise(self._received)
        if late:
            self._counts.late += late
            self._received = b""
        now_s = self.loop.time()
        quiet_s = self._quiet_s if self._ghosts.any(now_s) else self._silence_s
        self._quiet_at_s = max(self._quiet_at_s, now_s + quiet_s)

    def _look(self, wanted: Expected) -> Frame | None:
        """The answer, if it is among the bytes received so far.

        Raises:
            WrongAnswer: something else came.
        """
        if self._echo_due and not self._hear_echo():
            return None
        if not self._link.local_echo and len(self._sent) > len(wanted.head) + 4 and self._received.startswith(self._sent):
            raise WrongAnswer("what is sent comes back: the link needs 'local_echo: true'")
        while (frame := whole_answer(self._received)) is not None and not wanted.fits(frame):
            if not self._ghosts.came(frame):
                raise WrongAnswer(_what(wanted, frame))
            self._counts.late += 1
            self._received = self._received[frame.end :]
        if self._ghosts.begins(self._received) and not wanted.begins(self._received, 0):
            return None
        found = wanted.found(self._received)
        if found is None:
            self._settle(wanted)
        return found

    def _hear_echo(self) -> bool:
        """Cut off what was sent ourselves; False while it has not come back."""
        at = self._received.find(self._sent)
        if at < 0:
            return False
        self._received = self._received[at + len(self._sent) :]
        self._echo_due = False
        return True

    def _settle(self, wanted: Expected) -> None:
        """Do not wait out the timeout where bytes enough came and no more do."""
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None
        refusal = self._received[1:2] == bytes((wanted.function | 0x80,))
        if len(self._received) >= (EXCEPTION_SIZE if refusal else wanted.size):
            self._settling = self.loop.call_later(max(_SETTLE_S, self._silence_s), self._give_up)

    def _give_up(self) -> None:
        self._counts.wrong += 1
        self._fail(WrongAnswer(f"{len(self._received)} bytes, and no answer with a right check sum among them"))


def _parity_of(line: SerialLine) -> Parity:
    return Parity.NONE if is_pseudo(line) else line.parity


def _what(wanted: Expected, frame: Frame) -> str:
    code = frame.pdu[0] & 0x7F
    if wanted.unit not in (None, frame.unit):
        return f"the answer is from unit {frame.unit}"
    if code != wanted.function:
        return f"an answer to function {code} instead of {wanted.function}"
    return f"an answer with {frame.pdu[1:].hex()[:20]}… where {wanted.head.hex()} should stand"
