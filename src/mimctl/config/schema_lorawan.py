"""Site file: the network server behind a LoRaWAN link."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, Strict, StringConstraints

from mimctl.config.schema_grid import Reference
from mimctl.config.units import Record
from mimctl.model.airtime import Region

Eui = Annotated[str, StringConstraints(pattern=r"^([0-9a-fA-F]{2}[:-]?){7}[0-9a-fA-F]{2}$")]


class MulticastItem(Record):
    """A multicast group of class C in ChirpStack; one frame carries the setpoints of several of its MIMs, or releases all."""

    group: Annotated[str, StringConstraints(pattern=r"^[0-9a-f-]{36}$")] = Field(description="Id of the group in ChirpStack.")
    members: dict[Reference, Annotated[int, Field(ge=1, le=255)]] = Field(
        min_length=2, description="MIMs of this link → the number that each was given in the group; no other device is in it."
    )
    dr: int | None = Field(None, ge=0, le=15, description="Data rate of the group. Default: `downlink_dr` of the link.")


class LorawanItem(Record):
    """ChirpStack. `host`, `port` and `tls` of the link are those of its MQTT broker."""

    application: Annotated[str, StringConstraints(pattern=r"^[0-9a-f-]{36}$")] = Field(
        description="Id of the application whose devices these are."
    )
    api_host: Reference | None = Field(None, description="Host of its gRPC interface. Default: the host of the link.")
    api_port: int = Field(8080, ge=1, le=65535, description="Port of its gRPC interface.")
    api_ca: Reference | None = Field(
        None, description="Certificate of the authority that signed the certificate of that interface (PEM). Default: without TLS."
    )
    token_file: Reference | None = Field(
        None, description="File with the API token, best of one tenant. Default: the token stands in an environment variable."
    )
    token_variable: Annotated[str, StringConstraints(pattern=r"^[A-Z_][A-Z0-9_]*$")] = Field(
        "MIMCTL_CHIRPSTACK_TOKEN", description="That environment variable."
    )
    client_id: Reference | None = Field(
        None, description="Name of the MQTT session; no other client may use it. Default: mimctl- and the name of the link."
    )
    confirmed: bool = Field(False, description="Ask devices to acknowledge setpoints. Their echo is proof enough without it.")
    region: Annotated[Region, Strict(False)] = Field(Region.EU868, description="Radio band, by whose law frames are counted.")
    uplink_dr: int = Field(5, ge=0, le=15, description="Slowest data rate that the devices use.")
    downlink_dr: int | None = Field(
        None, ge=0, le=15, description="Data rate of the second receive window. Default: 0 in EU868, 8 in US915."
    )
    multicast: list[MulticastItem] = Field(default_factory=list, description="Groups of MIMs that are told by one frame.")
    gateways: int = Field(1, ge=1, le=1000, description="Gateways that share the setpoints between them.")
