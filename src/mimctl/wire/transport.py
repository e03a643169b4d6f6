"""The seam between register maps and links: big-endian register bytes of one unit, or a link error."""

from __future__ import annotations

from typing import Protocol

#: function codes of the Modbus application protocol that a register map may ask for
READ_HOLDING = 3
READ_INPUT = 4
WRITE_SINGLE = 6
WRITE_MULTIPLE = 16


class Transport(Protocol):
    """One link, shared by every unit behind it. Raises `model.errors.LinkError` and its kinds only.

    An implementation queues requests by itself and bounds every wait; no reply is ever taken for the answer to a later request.
    """

    @property
    def link(self) -> str:
        """The link's id in the site file."""
        ...

    @property
    def connected(self) -> bool: ...

    async def open(self) -> None:
        """Start keeping the link up. Returns at once: a link that is down now is not an error here."""
        ...

    async def close(self) -> None: ...

    async def read(self, unit: int, address: int, count: int, *, function: int = READ_HOLDING) -> bytes:
        """Exactly `2 * count` bytes of consecutive registers from the 0-based wire address, or an error."""
        ...

    async def write(self, unit: int, address: int, data: bytes, *, function: int = WRITE_MULTIPLE) -> None:
        """One frame that the device takes as a whole or not at all.

        Args:
            data: two bytes per register.
            function: `WRITE_SINGLE` is for devices that refuse `WRITE_MULTIPLE`; it carries one register.
        """
        ...
