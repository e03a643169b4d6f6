"""Virtual MIMs over LoRaWAN on the network: a stand-in for ChirpStack and a real broker in front of them."""

from __future__ import annotations

import secrets
import socket
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from mimctl.model.clock import Clock
from mimctl.model.errors import UserError
from mimctl.model.layout import SiteLayout
from mimctl.model.link import Link
from mimctl.model.payload import PayloadProfile
from mimctl.twin.lorawan_mim import ECHO_S, LorawanMimTwin
from mimctl.twin.picture import World
from mimctl.wire.chirpstack import require_extra
from mimctl.wire.chirpstack.broker import Mosquitto
from mimctl.wire.chirpstack.stand_in import ChirpStackStandIn, Timing
from mimctl.wire.tls import make_throwaway_pki

_CHIRPSTACK = "chirpstack"


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on: the broker cannot look for one itself."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class LorawanTwin:
    """Every MIM of one LoRaWAN link, with everything between them and a bridge.

    Args:
        profiles: of payloads, by id.
        timing: of the network server.
        echo_s: a device answers a setpoint after a pause drawn within [s].
    """

    def __init__(
        self,
        link: Link,
        layout: SiteLayout,
        world: World,
        clock: Clock,
        profiles: Mapping[str, PayloadProfile],
        *,
        seed: int = 1,
        timing: Timing | None = None,
        echo_s: tuple[float, float] = ECHO_S,
    ) -> None:
        require_extra()
        if link.lorawan is None:
            raise ValueError(f"{link.id} is no LoRaWAN link")
        self._link, self._spec = link, link.lorawan
        self._clock, self._timing, self._echo_s = clock, timing or Timing(), echo_s
        self._later: list[tuple[float, Callable[[], None]]] = []
        self._layout, self._world, self._profiles, self._seed = layout, world, profiles, seed
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._broker: Mosquitto | None = None
        self._server: ChirpStackStandIn | None = None
        self.mims: list[LorawanMimTwin] = []

    async def start(self, port: int = 0, api_port: int = 0) -> Link:
        """Serve on 127.0.0.1.

        Args:
            port: of the broker; `api_port` of the gRPC interface; 0 = any that is free.

        Returns:
            The link that leads here: with a certificate and a token made for this run.

        Raises:
            UserError: mosquitto is missing or does not start, or a MIM cannot be served.
        """
        self._directory = tempfile.TemporaryDirectory(prefix="mimctl-lorawan-")
        port = port or free_port()
        folder = Path(self._directory.name)
        token, token_file = secrets.token_urlsafe(24), folder / "token"
        token_file.touch(mode=0o600)
        token_file.write_text(token, encoding="ascii")
        pki = make_throwaway_pki(folder / "pki", hosts=("127.0.0.1", "localhost"), role=None, others=(_CHIRPSTACK,))
        events = f"application/{self._spec.application}/device/+/event/+"
        acl = f"user {_CHIRPSTACK}\ntopic write {events}\nuser mimctl\ntopic read {events}\n"
        self._broker = Mosquitto(folder / "broker", port, pki, acl)
        most = self._spec.plan.downlink.most_bytes
        at = ("127.0.0.1", port)
        server = ChirpStackStandIn(
            self._spec.application, token, at, self._clock, pki.others[_CHIRPSTACK], timing=self._timing, most_bytes=most
        )
        self._server = server
        try:
            self.mims = [self._mim(m, server) for m, mim in enumerate(self._layout.mims) if mim.address.link == self._link.id]
            here = {twin.device.id: twin.device.address.eui for twin in self.mims}
            for group in self._spec.multicast:
                server.add_group(group.id, [here[name] for name, _ in group.members if name in here])
            await self._broker.start()
            bound = await server.start(port=api_port)
        except BaseException:
            await self.stop()
            raise
        spec = replace(self._spec, api_host="127.0.0.1", api_port=bound, api_ca=None, token_file=token_file)
        return replace(self._link, host="127.0.0.1", port=port, tls=pki.client, lorawan=spec)

    def _mim(self, m: int, server: ChirpStackStandIn) -> LorawanMimTwin:
        name = self._layout.mims[m].address.profile
        if name not in self._profiles:
            raise UserError(f"{self._layout.mims[m].id} needs the profile '{name}' of payloads, which was not loaded")
        rng = np.random.default_rng([self._seed, 1, m])
        soon = partial(self._postpone, rng)
        return LorawanMimTwin(m, self._layout, self._world, self._profiles[name], server, self._spec, rng, soon)

    def _postpone(self, rng: np.random.Generator, send: Callable[[], None]) -> None:
        self._later.append((self._clock.monotonic_s() + float(rng.uniform(*self._echo_s)), send))

    def tick(self, now_s: float) -> None:
        """Have everything reported that is due."""
        due = [send for due_s, send in self._later if due_s <= now_s]
        self._later = [(due_s, send) for due_s, send in self._later if due_s > now_s]
        for send in due:
            send()
        for mim in self.mims:
            mim.tick(now_s)

    async def stop(self) -> None:
        """Everything goes away."""
        server, self._server = self._server, None
        broker, self._broker = self._broker, None
        if server is not None:
            await server.stop()
        if broker is not None:
            await broker.stop()
        directory, self._directory = self._directory, None
        if directory is not None:
            directory.cleanup()
