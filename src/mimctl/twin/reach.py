"""The way to one unit of a link: what is wrong with it is answered for by its gateway."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mimctl.model.errors import DeviceRefusal, LinkError
from mimctl.twin.images import NO_ANSWER
from mimctl.twin.instruments import Instruments
from mimctl.wire.modbus_answers import RegisterBank


@dataclass(frozen=True, slots=True)
class ReachedBank:
    """Registers behind a way that may lose frames, or be cut. Implements `wire.modbus_answers.RegisterBank`.

    A lost frame is told at once, by exception 11 (gateway target failed to respond): what waits for it need not wait in vain.

    Args:
        devices: ids of the meters or the MIM of this unit; it answers while all of them can.
    """

    bank: RegisterBank
    devices: tuple[str, ...]
    instruments: Instruments

    def read(self, address: int, count: int) -> bytes:
        self._ask()
        data = self.bank.read(address, count)
        self._answer()
        return data

    def write(self, address: int, data: bytes) -> None:
        self._ask()
        self.bank.write(address, data)
        self._answer()

    def _ask(self) -> None:
        for device in self.devices:
            if self.instruments.mute[self.instruments.row[device]]:
                raise DeviceRefusal(device, "it does not answer", NO_ANSWER)
        self._pass("request", self.instruments.ask)

    def _answer(self) -> None:
        self._pass("answer", self.instruments.answer)

    def _pass(self, what: str, way: Callable[[str], None]) -> None:
        """One frame for the whole unit, whoever is behind it."""
        try:
            way(self.devices[0])
        except LinkError as lost:
            raise DeviceRefusal(lost.device, f"the {what} was lost", NO_ANSWER) from lost
