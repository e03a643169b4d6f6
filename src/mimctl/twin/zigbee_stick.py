"""The coordinator of a twin: a stick that was formed with a network of its own. Needs no zigpy."""

from __future__ import annotations

import hashlib
from typing import Any

from mimctl.wire.zigbee.air import Stick


def formed_stick(name: str) -> Stick:
    """A coordinator with a network of its own, the same for the same name: a twin that starts again is the same network."""
    key = hashlib.sha256(f"twin of {name}".encode()).digest()
    eui = (b"\x02" + key[16:23]).hex()
    return Stick(eui, _network(key[:16], key[23:31], _colons(eui)), _node(_colons(eui)))


def _network(key: bytes, extended_pan_id: bytes, coordinator: str) -> dict[str, Any]:
    counters = {"tx_counter": 0, "rx_counter": 0, "seq": 0}
    anybody = "ff:ff:ff:ff:ff:ff:ff:ff"
    return {
        "extended_pan_id": _colons(extended_pan_id.hex()),
        "pan_id": f"{int.from_bytes(extended_pan_id[:2], 'big') % 0xFFFD + 1:04X}",
        "nwk_update_id": 0,
        "nwk_manager_id": "0000",
        "channel": 15,
        "channel_mask": [15],
        "security_level": 5,
        "network_key": {"key": _colons(key.hex()), "partner_ieee": anybody, **counters},
        "tc_link_key": {"key": _colons(b"ZigBeeAlliance09".hex()), "partner_ieee": coordinator, **counters},
        "key_table": [],
        "children": [],
        "nwk_addresses": {},
        "route_table": {},
        "tx_power": 8,
        "stack_specific": {},
        "metadata": {},
        "source": "mimctl",
    }


def _node(coordinator: str) -> dict[str, Any]:
    return {
        "nwk": "0000",
        "ieee": coordinator,
        "logical_type": "coordinator",
        "model": None,
        "manufacturer": None,
        "version": None,
    }


def _colons(digits: str) -> str:
    return ":".join(digits[n : n + 2] for n in range(0, len(digits), 2))
