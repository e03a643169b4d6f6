"""A LoRaWAN link as the site file describes it, and what becomes of one downlink."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mimctl.model.airtime import RULES, DataRate, Region, RegionRules


@dataclass(frozen=True, slots=True)
class RadioPlan:
    """How devices and gateways of a link are set up in the network server.

    Args:
        uplink_dr: slowest data rate that its devices use.
        downlink_dr: of the second receive window.
        gateways: that share the downlinks between them.
    """

    region: Region = Region.EU868
    uplink_dr: int = 5
    downlink_dr: int = 3
    gateways: int = 1

    @property
    def rules(self) -> RegionRules:
        return RULES[self.region]

    @property
    def uplink(self) -> DataRate:
        return self.rules.uplinks[self.uplink_dr]

    @property
    def downlink(self) -> DataRate:
        return self.rules.downlinks[self.downlink_dr]


@dataclass(frozen=True, slots=True)
class MulticastGroup:
    """A group of ChirpStack, class C: one frame reaches every device in it.

    Args:
        id: of the group in ChirpStack.
        members: (id of a MIM, its number in the group), in order.
        downlink_dr: of the group; every gateway that serves it sends each frame once.
    """

    id: str
    members: tuple[tuple[str, int], ...]
    downlink_dr: int


@dataclass(frozen=True, slots=True)
class LorawanLink:
    """ChirpStack: its events come over MQTT (host, port and TLS of the link itself), downlinks go by gRPC.

    Args:
        application: id of the application whose devices these are.
        api_host, api_port: of ChirpStack's gRPC interface.
        api_ca: certificate of the authority that signed its certificate; None = without TLS.
        token_file, token_variable: where the API token stands; the file wins.
        client_id: of the MQTT session, which outlives a connection; no other client may use it.
        confirmed: ask devices to acknowledge downlinks.
        multicast: groups of devices that are told by one frame.
    """

    application: str
    api_host: str
    api_port: int = 8080
    api_ca: Path | None = None
    token_file: Path | None = None
    token_variable: str = "MIMCTL_CHIRPSTACK_TOKEN"
    client_id: str = ""
    confirmed: bool = False
    plan: RadioPlan = RadioPlan()
    multicast: tuple[MulticastGroup, ...] = ()


class DownlinkState(StrEnum):
    """How far a downlink has come. Only `ECHOED` proves that the device took it."""

    ENQUEUED = "enqueued"
    TXACK = "txack"
    ACK = "ack"
    ECHOED = "echoed"
    EXPIRED = "expired"
    NACK = "nack"
    GATEWAY_ERROR = "gateway_error"
    SUPERSEDED = "superseded"

    @property
    def is_final(self) -> bool:
        return self in (DownlinkState.ECHOED, DownlinkState.EXPIRED, DownlinkState.NACK, DownlinkState.SUPERSEDED)

    @property
    def is_failure(self) -> bool:
        """The device did not get it, or nobody knows that it did."""
        return self in (DownlinkState.EXPIRED, DownlinkState.NACK, DownlinkState.GATEWAY_ERROR)
