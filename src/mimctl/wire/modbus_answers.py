"""What a server answers to a request, whatever frame it came in."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast, runtime_checkable

from pymodbus.constants import ExcCodes
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU

from mimctl.model.errors import DeviceRefusal
from mimctl.wire.transport import READ_INPUT

#: function codes that a bank can serve: registers only
_SERVED = frozenset({3, 4, 6, 16, 22, 23, 43})
_log = logging.getLogger(__name__)

#: may a client with this role (None: no TLS or no role) use this function code?
Access = Callable[[str | None, int], bool]


class RegisterBank(Protocol):
    """The registers of one unit, big-endian bytes. Raises `DeviceRefusal` with the exception code to answer."""

    def read(self, address: int, count: int) -> bytes:
        """Exactly `2 * count` bytes."""
        ...

    def write(self, address: int, data: bytes) -> None:
        """All of `data` or nothing."""
        ...


@runtime_checkable
class InputBank(RegisterBank, Protocol):
    """A bank whose input registers (function 4) are not its holding registers."""

    def read_input(self, address: int, count: int) -> bytes:
        """Exactly `2 * count` bytes."""
        ...


class _Banks:
    """The datastore that pymodbus's request PDUs ask."""

    def __init__(self, units: Mapping[int, RegisterBank]) -> None:
        self._units = units

    def device_ids(self) -> list[int]:
        return list(self._units)

    async def async_getValues(self, device_id: int, func_code: int, address: int, count: int = 1) -> list[int] | ExcCodes:
        try:
            bank = self._bank(device_id)
            read = bank.read_input if func_code == READ_INPUT and isinstance(bank, InputBank) else bank.read
            return list(struct.unpack(f">{count}H", read(address, count)))
        except DeviceRefusal as refusal:
            return ExcCodes(refusal.code)

    async def async_setValues(self, device_id: int, func_code: int, address: int, values: list[int]) -> ExcCodes | None:
        try:
            self._bank(device_id).write(address, struct.pack(f">{len(values)}H", *values))
        except DeviceRefusal as refusal:
            return ExcCodes(refusal.code)
        return None

    def _bank(self, unit: int) -> RegisterBank:
        if unit not in self._units:
            raise DeviceRefusal(f"unit {unit}", "no such unit", ExcCodes.GATEWAY_NO_RESPONSE)
        return self._units[unit]


def everybody(role: str | None, function: int) -> bool:
    """Access for all."""
    return True


class Answers:
    """Answers for some units.

    Args:
        units: register bank by unit id; others are answered with exception 11 (gateway target failed to respond).
        access: which role may use which function code; a refusal is answered with exception 1 (illegal function).
    """

    def __init__(self, units: Mapping[int, RegisterBank], access: Access = everybody) -> None:
        self.units = units
        self.context = _Banks(units)
        self._access = access
        self._decoder = DecodePDU(True)

    async def to(self, unit: int, pdu: bytes, role: str | None = None) -> ModbusPDU:
        """The answer to one request; `pdu` has at least its function code."""
        code = pdu[0]
        if code not in _SERVED or not self._access(role, code):
            return ExceptionResponse(code, ExcCodes.ILLEGAL_FUNCTION)
        if unit not in self.units:
            return ExceptionResponse(code, ExcCodes.GATEWAY_NO_RESPONSE)
        request = self._decoder.decode(pdu)
        if request is None:
            return ExceptionResponse(code, ExcCodes.ILLEGAL_VALUE)
        try:
            return await request.datastore_update(cast(Any, self.context), unit)
        except Exception:  # noqa: BLE001 a fault of one bank must not silence the whole connection
            _log.exception("unit %d failed to answer function %d", unit, code)
            return ExceptionResponse(code, ExcCodes.DEVICE_FAILURE)
