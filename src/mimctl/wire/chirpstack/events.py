"""ChirpStack's events, out of MQTT messages in either marshalling. Nothing in a message is believed before it is checked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.message import Message

_TOPIC = re.compile(r"application/([^/]+)/device/([0-9a-f]{16})/event/([a-z]+)\Z")
#: longer messages are none of ChirpStack's: an uplink of 242 bytes heard by a hundred gateways has 40 kB
_MOST_BYTES = 256 * 1024


class MalformedEvent(ValueError):
    """A message that is no event. `what` is one line for a person."""


@dataclass(frozen=True, slots=True)
class Uplink:
    """A frame of a device.

    Args:
        session: address that the device has since it joined.
        counter: of its frames in this session.
        at: when a gateway heard it; None = the event does not say.
        rssi_dbm, snr_db: at the gateway that heard it best; None = unknown.
        at_server: when the network server had it first, by its own clock; None = it does not say.
        listens: always, as devices of class C do; False: only after its own frames, or the server does not say.
    """

    eui: str
    id: str
    session: str
    counter: int
    port: int
    payload: bytes
    at: datetime | None
    rssi_dbm: int | None = None
    snr_db: float | None = None
    at_server: datetime | None = None
    listens: bool = False

    @property
    def is_empty(self) -> bool:
        """It carries nothing of the application: an acknowledgement, or an answer to the network itself."""
        return self.port == 0 or not self.payload


@dataclass(frozen=True, slots=True)
class Join:
    """A device has joined: its counters begin anew."""

    eui: str
    session: str


@dataclass(frozen=True, slots=True)
class TxAck:
    """A gateway was made to send a downlink. Whether anybody heard it is another matter."""

    eui: str
    item: str


@dataclass(frozen=True, slots=True)
class Ack:
    """A confirmed downlink was acknowledged by the device, or was not in time."""

    eui: str
    item: str
    acknowledged: bool


@dataclass(frozen=True, slots=True)
class Log:
    """What ChirpStack has to say about a device.

    Args:
        code: such as `EXPIRED`, `DOWNLINK_GATEWAY`, `UPLINK_F_CNT_RESET`.
        item: of the queue, where it is about one; empty = none.
    """

    eui: str
    code: str
    text: str
    item: str


Event = Uplink | Join | TxAck | Ack | Log


def read_event(topic: str, payload: bytes, application: str) -> Event | None:
    """The event of a message; None for kinds that mimctl has no use for.

    Raises:
        MalformedEvent: the message is no event of this application.
    """
    found = _TOPIC.match(topic)
    if found is None or found[1] != application:
        raise MalformedEvent(f"no topic of an event: {topic[:80]!r}")
    eui, kind = found[2], found[3]
    if kind not in ("up", "join", "txack", "ack", "log"):
        return None
    message = _parsed(_messages()[kind], payload)
    if message.device_info.dev_eui != eui:
        raise MalformedEvent(f"an event of {message.device_info.dev_eui[:40]!r} under the topic of {eui}")
    return _event(kind, eui, message)


@lru_cache(maxsize=1)
def _messages() -> dict[str, Any]:
    from chirpstack_api import integration

    return {
        "up": integration.UplinkEvent,
        "join": integration.JoinEvent,
        "txack": integration.TxAckEvent,
        "ack": integration.AckEvent,
        "log": integration.LogEvent,
    }


def _parsed(kind: Any, payload: bytes) -> Any:
    from google.protobuf import json_format
    from google.protobuf.message import DecodeError

    if len(payload) > _MOST_BYTES:
        raise MalformedEvent(f"a message of {len(payload)} bytes")
    message: Message = kind()
    try:
        # no field of these messages has a number whose tag is an opening brace: JSON cannot be taken for protobuf
        if payload[:1] == b"{":
            json_format.Parse(payload, message, ignore_unknown_fields=True, max_recursion_depth=20)
        else:
            message.ParseFromString(payload)
    except (DecodeError, json_format.ParseError, UnicodeError, ValueError, RecursionError) as error:
        raise MalformedEvent(f"no {message.DESCRIPTOR.name}: {' '.join(str(error).split())[:120]}") from error
    return message


def _event(kind: str, eui: str, message: Any) -> Event:
    if kind == "up":
        return _uplink(eui, message)
    if kind == "join":
        return Join(eui, message.dev_addr)
    if kind == "txack":
        return TxAck(eui, message.queue_item_id)
    if kind == "ack":
        return Ack(eui, message.queue_item_id, message.acknowledged)
    codes = message.DESCRIPTOR.fields_by_name["code"].enum_type.values_by_number
    code = codes[message.code].name if message.code in codes else str(message.code)
    return Log(eui, code, message.description[:200], message.context.get("queue_item_id", ""))


def _uplink(eui: str, message: Any) -> Uplink:
    best = max(message.rx_info, key=lambda heard: heard.snr, default=None)
    return Uplink(
        eui=eui,
        id=message.deduplication_id,
        session=message.dev_addr,
        counter=message.f_cnt,
        port=message.f_port,
        payload=message.data,
        at=_told(message, "time"),
        rssi_dbm=None if best is None else best.rssi,
        snr_db=None if best is None else best.snr,
        at_server=min((at for heard in message.rx_info if (at := _told(heard, "ns_time")) is not None), default=None),
        listens=message.device_info.device_class_enabled == _class_c(),
    )


@lru_cache(maxsize=1)
def _class_c() -> int:
    from chirpstack_api import common

    return int(common.CLASS_C)


def _told(message: Any, field: str) -> datetime | None:
    """An instant that may be there."""
    return _instant(getattr(message, field)) if message.HasField(field) else None


def _instant(stamp: Any) -> datetime | None:
    try:
        return datetime.fromtimestamp(stamp.seconds + stamp.nanos * 1e-9, UTC)
    except (ValueError, OverflowError, OSError):
        return None
