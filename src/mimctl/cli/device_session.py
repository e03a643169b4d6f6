"""Where `mimctl device` gets its answers: from the running service, or over links of its own under the site's lock."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from mimctl.config.site import load_site
from mimctl.model.clock import SystemClock
from mimctl.model.errors import UserError
from mimctl.model.protocols import DriverGroup
from mimctl.service.alone import zone_alone
from mimctl.service.devices import DeviceDesk, device_site
from mimctl.service.door import ask, somebody_listens
from mimctl.service.links import open_groups
from mimctl.service.logs import set_up
from mimctl.service.operator_writes import OperatorWrites
from mimctl.service.signals import stop_on_signals
from mimctl.service.state_dir import site_lock, socket_path, state_directory

#: a slow gateway may take this long for all registers of a device
_PATIENCE_S = 120.0


class DeviceSession:
    """One device of one site, for the length of a `with`.

    Raises (on entry):
        UserError: no such device, or another process holds the site and does not answer.
        ConfigError: the site file is wrong.
    """

    def __init__(self, site: Path, device: str) -> None:
        self.site = load_site(site)
        self.device = device
        self._narrow = device_site(self.site, device)
        self.directory = state_directory(self.site.id)
        self._stack = contextlib.ExitStack()
        self._runner: asyncio.Runner | None = None
        self._desk: DeviceDesk | None = None

    @property
    def through_service(self) -> bool:
        return self._runner is None

    def __enter__(self) -> DeviceSession:
        set_up("error")
        if somebody_listens(socket_path(self.directory)):
            return self
        with contextlib.ExitStack() as stack:
            stack.enter_context(site_lock(self.directory, self.site.id))
            self._runner = stack.enter_context(asyncio.Runner())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def read(self, *, every_point: bool) -> dict[str, Any]:
        """See `DeviceDesk.read`."""
        if self._runner is None:
            return self.ask("read", every_point=every_point)
        return self._runner.run(self._local_desk().read(self.device, every_point=every_point))

    def dump(self, *, redact: bool) -> dict[str, Any]:
        """See `DeviceDesk.dump`."""
        if self._runner is None:
            return self.ask("dump", redact=redact)
        return self._runner.run(self._local_desk().dump(self.device, redact=redact))

    def release(self) -> dict[str, Any]:
        """End an operator's setpoint.

        Raises:
            UserError: no service runs, so none stands.
        """
        if self._runner is None:
            return self.ask("release")
        raise UserError(f"site '{self.site.id}' is not being run: no setpoint of a service stands at {self.device}")

    def write(
        self, wishes: Sequence[Mapping[str, float]], seconds: float, *, yes: bool, on_told: Callable[[dict[str, Any]], None]
    ) -> dict[str, Any]:
        """Give the device a setpoint for a while, or only find out what would be written.

        Without a service this returns when the time is over, or somebody interrupts (`interrupted`), and the device is released.

        Args:
            on_told: gets what became of it as soon as that is known.
        """
        if self._runner is None:
            told = self.ask("write", ports=list(wishes), seconds=seconds, yes=yes)
            on_told(told)
            return told
        return self._runner.run(self._write_alone(wishes, seconds, yes=yes, on_told=on_told))

    async def _write_alone(
        self, wishes: Sequence[Mapping[str, float]], seconds: float, *, yes: bool, on_told: Callable[[dict[str, Any]], None]
    ) -> dict[str, Any]:
        clock = SystemClock()
        request = {"device": self.device, "do": "write", "ports": list(wishes), "seconds": seconds, "yes": yes}
        with stop_on_signals() as stop:
            async with zone_alone(self.site, self.device, clock, dry_run=not yes, on_stop=stop.set) as zones:
                told = await OperatorWrites(zones, clock).answer(request)
                on_told(told)
                if told["applied"]:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(seconds):
                            await stop.wait()
                            told["interrupted"] = True
                if (called := zones[0].cycle.leases.emergency_stop) is not None:
                    raise UserError(f"{self.device}: its setpoint has ended: {called}")
        return told

    def ask(self, what: str, **arguments: Any) -> dict[str, Any]:
        """Ask the service.

        Raises:
            MimctlError: what it says is wrong.
        """
        path = socket_path(self.directory)
        answer: dict[str, Any] = ask(path, "device", timeout_s=_PATIENCE_S, do=what, device=self.device, **arguments)
        return answer

    def _local_desk(self) -> DeviceDesk:
        """The device's own link, opened on the first use."""
        if self._desk is None:
            runner = self._runner
            if runner is None:
                raise RuntimeError("the service is asked instead")
            clock = SystemClock()
            groups = open_groups(self._narrow, clock)
            for group in groups:
                runner.run(group.open())
                self._stack.callback(_close, runner, group)
            self._desk = DeviceDesk(groups, clock)
        return self._desk


def _close(runner: asyncio.Runner, group: DriverGroup) -> None:
    runner.run(group.close())
