"""A LoRaWAN link to be broken at will: a real broker with TLS and an access list, a stand-in for ChirpStack, the bridge."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from conftest import free_ports
from mimctl.model.clock import SystemClock
from mimctl.model.link import Link, LinkType
from mimctl.model.lorawan import LorawanLink
from mimctl.wire.chirpstack.bridge import LorawanBridge
from mimctl.wire.chirpstack.broker import Mosquitto
from mimctl.wire.chirpstack.events import Uplink
from mimctl.wire.chirpstack.stand_in import ChirpStackStandIn, Timing
from mimctl.wire.chirpstack.stream import Backoff
from mimctl.wire.tls import ThrowawayPki, make_throwaway_pki

APPLICATION = "3b1f2d64-0f8e-4c0a-9d59-1f4d7e1b6a01"
EUI = "70b3d57ed0000001"
TOKEN = "a-token-of-this-test"
#: the identity of a certificate is the user of the broker
ACL = f"""user chirpstack
topic write application/{APPLICATION}/device/+/event/+
user mimctl
topic read application/{APPLICATION}/device/+/event/+
"""
QUICK = Timing(scheduler_s=0.02, class_c_lock_s=0.05, class_c_timeout_s=0.1, airtime_s=0.01)
BACKOFF = Backoff(0.05, 0.2)


@dataclass
class Air:
    """One link and both of its ends."""

    broker: Mosquitto
    server: ChirpStackStandIn
    link: Link
    clock: SystemClock = field(default_factory=SystemClock)
    heard: list[Uplink] = field(default_factory=list)
    received: list[tuple[int, bytes]] = field(default_factory=list)
    answers: bool = True

    def bridge(self) -> LorawanBridge:
        bridge = LorawanBridge(self.link, self.clock, backoff=BACKOFF, call_s=1.0)
        bridge.watch(EUI, "mim1", lambda uplink, _: self.heard.append(uplink), most_age_s=60.0)
        return bridge

    def receive(self, port: int, payload: bytes) -> bool:
        self.received.append((port, payload))
        return self.answers


@asynccontextmanager
async def air(
    folder: Path, pki: ThrowawayPki | None, *, marshalling: Literal["json", "protobuf"] = "json", confirmed: bool = False
) -> AsyncIterator[Air]:
    """Serve both ends."""
    clock, (port,) = SystemClock(), free_ports(1)
    broker = Mosquitto(folder / "broker", port, pki, ACL if pki is not None else "")
    await broker.start()
    token = folder / "token"
    token.write_text(f"{TOKEN}\n")
    tls = None if pki is None else pki.others["chirpstack"]
    host = "localhost"
    server = ChirpStackStandIn(APPLICATION, TOKEN, (host, port), clock, tls, marshalling, QUICK)
    api_port = await server.start()
    spec = LorawanLink(APPLICATION, "127.0.0.1", api_port, token_file=token, client_id="bridge-under-test", confirmed=confirmed)
    link = Link("air", LinkType.LORAWAN, host, port, tls=None if pki is None else pki.client, lorawan=spec)
    made = Air(broker, server, link, clock)
    server.add(EUI, "mim1", made.receive)
    try:
        yield made
    finally:
        await server.stop()
        await broker.stop()


async def until(condition: Callable[[], object]) -> None:
    """Wait for something to come true; the bound of the test bounds it."""
    while not condition():  # noqa: ASYNC110 - what it waits for has no event
        await asyncio.sleep(0.01)


def throwaway(folder: Path) -> ThrowawayPki:
    return make_throwaway_pki(folder, hosts=("localhost",), role=None, others=("chirpstack", "stranger"))
