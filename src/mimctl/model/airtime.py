"""How long a LoRaWAN frame is on the air, and what each region's radio law makes of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

#: bytes of a frame beside its payload: MHDR 1, DevAddr 4, FCtrl 1, FCnt 2, FPort 1, MIC 4
FRAME_OVERHEAD = 13
_PREAMBLE_SYMBOLS = 8
#: symbols longer than this need the low data rate optimisation [s]
_LONG_SYMBOL_S = 0.016
#: ChirpStack waits so long between two frames to one class C device [s]
CLASS_C_LOCK_S = 5.0


class Region(StrEnum):
    EU868 = "EU868"
    US915 = "US915"


@dataclass(frozen=True, slots=True)
class DataRate:
    """One data rate of a region.

    Args:
        spreading_factor: 7 to 12.
        bandwidth_hz: [Hz]
        most_bytes: of an application's payload, without a repeater and without MAC commands beside it.
    """

    spreading_factor: int
    bandwidth_hz: int
    most_bytes: int

    def symbol_s(self) -> float:
        return 2.0**self.spreading_factor / self.bandwidth_hz

    def airtime_s(self, payload_bytes: int, *, uplink: bool) -> float:
        """How long a frame with so much payload is on the air [s].

        Reference: Semtech AN1200.13, LoRa modem designer's guide, section 4 (time on air), with explicit header, coding rate 4/5
        and a payload CRC on uplinks only, as LoRaWAN has it.
        """
        sf, optimised = self.spreading_factor, self.symbol_s() > _LONG_SYMBOL_S
        bits = 8 * (payload_bytes + FRAME_OVERHEAD) - 4 * sf + 28 + (16 if uplink else 0)
        blocks = max(math.ceil(bits / (4 * (sf - (2 if optimised else 0)))), 0)
        symbols = 8 + 5 * blocks
        return (_PREAMBLE_SYMBOLS + 4.25 + symbols) * self.symbol_s()


@dataclass(frozen=True, slots=True)
class RegionRules:
    """What a region allows.

    Args:
        uplinks, downlinks: by number of the data rate.
        uplink_share: of its time that a device may send; None = no such law.
        downlink_share: of its time that a gateway may send to class C devices.
        downlink_law: whether `downlink_share` is law, or what leaves the gateway time to listen.
        dwell_s: longest uplink; None = no such law [s].
        downlink_dr: the data rate of the second receive window in which class C devices listen, unless configured otherwise.
    """

    uplinks: dict[int, DataRate]
    downlinks: dict[int, DataRate]
    uplink_share: float | None
    downlink_share: float
    downlink_law: bool
    dwell_s: float | None
    downlink_dr: int


def _rates(first: int, *rows: tuple[int, int, int]) -> dict[int, DataRate]:
    return {first + n: DataRate(sf, 1000 * khz, most) for n, (sf, khz, most) in enumerate(rows)}


_EU = _rates(0, (12, 125, 51), (11, 125, 51), (10, 125, 51), (9, 125, 115), (8, 125, 222), (7, 125, 242), (7, 250, 242))

#: Reference: LoRaWAN Regional Parameters RP002-1.0.4 (EU863-870, US902-928); ETSI EN 300 220-2, annex B (1 % in 868.0 to
#: 868.6 MHz, 10 % in 869.4 to 869.65 MHz, where the second receive window is); 47 CFR 15.247 (0.4 s on a narrow channel).
RULES = {
    Region.EU868: RegionRules(_EU, _EU, 0.01, 0.1, True, None, 0),
    Region.US915: RegionRules(
        _rates(0, (10, 125, 11), (9, 125, 53), (8, 125, 125), (7, 125, 242), (8, 500, 242)),
        _rates(8, (12, 500, 53), (11, 500, 129), (10, 500, 242), (9, 500, 242), (8, 500, 242), (7, 500, 242)),
        None,
        0.5,
        False,
        0.4,
        8,
    ),
}
