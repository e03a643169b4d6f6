"""Read all: every link sweeps its devices side by side; what is there at the deadline becomes the image.

A link that is slow or dead never holds the others up: its devices keep their last sample until it is too old, then they are BAD.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import structlog

from mimctl.control.image import ImageMap
from mimctl.model.clock import Clock
from mimctl.model.errors import BadReply, DeviceRefusal, LinkDown, LinkError, LinkTimeout
from mimctl.model.layout import FloatArray, IntArray, SiteLayout, frozen
from mimctl.model.protocols import Driver, DriverGroup
from mimctl.model.reason import Reason
from mimctl.model.sample import BAD, GOOD, Sample
from mimctl.model.state import BatteryState, MimState, NodeState, PortState, SiteState, TransferImage
from mimctl.model.tasks import end_tasks

_BACKOFF_FIRST_S = 1.0
_BACKOFF_MOST_S = 30.0
_KEPT_SWEEPS = 500
#: a link to devices that report may take so long to come up [s]
_LINK_STARTS_S = 10.0


@dataclass(slots=True)
class _Health:
    """How one device has answered lately."""

    failures: int = 0
    retry_at_s: float = -np.inf
    error: LinkError | None = None


@dataclass(eq=False)
class LinkSweep:
    """Reads the devices of one link, one after another, those first that answered last time.

    A device that answers nonsense is asked less and less often. Silence is paced by the link, which knows of every request to a
    unit and fails at once while the unit rests: a second pause here would only delay the return.
    """

    group: DriverGroup
    devices: Sequence[Driver]
    clock: Clock
    samples: dict[str, Sample] = field(default_factory=dict)
    health: dict[str, _Health] = field(default_factory=dict)
    #: how long the last sweeps took [s]
    durations_s: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT_SWEEPS))
    _log: Any = field(default_factory=lambda: structlog.get_logger("mimctl.collect"))

    async def run(self) -> None:
        """One sweep."""
        started_s = self.clock.monotonic_s()
        await self._ask_all()
        self.durations_s.append(self.clock.monotonic_s() - started_s)

    async def _ask_all(self) -> None:
        all_well = all(health.error is None for health in self.health.values())
        for driver in self.devices if all_well else sorted(self.devices, key=lambda d: self.failed(d.device)):
            name = driver.device
            health = self.health.get(name)
            if health is None:
                health = self.health[name] = _Health()
            if health.retry_at_s > -np.inf and self.clock.monotonic_s() < health.retry_at_s:
                continue
            try:
                self.samples[name] = await driver.read()
            except LinkError as error:
                self._failed(health, error)
            except Exception as error:  # noqa: BLE001 - one device that trips its driver must not stop the whole zone, and is told
                self._log.error("driver failed", device=name, exc_info=error)
                self._failed(health, BadReply(name, f"its driver failed: {error!r}"))
            else:
                if health.error is not None:
                    self._back(health)

    def failed(self, device: str) -> bool:
        """Whether its last read failed."""
        return device in self.health and self.health[device].error is not None

    def is_down(self, device: str) -> bool:
        """Whether its last read failed because its link is down."""
        return device in self.health and isinstance(self.health[device].error, LinkDown)

    def _failed(self, health: _Health, error: LinkError) -> None:
        health.error = error
        if isinstance(error, LinkDown | LinkTimeout) or (isinstance(error, DeviceRefusal) and error.is_silence):
            return  # the link itself tries less and less often; asking meanwhile costs nothing
        pause_s = min(_BACKOFF_MOST_S, _BACKOFF_FIRST_S * 2.0 ** min(health.failures, 10)) if health.failures else 0.0
        health.failures += 1
        health.retry_at_s = self.clock.monotonic_s() + pause_s

    def _back(self, health: _Health) -> None:
        """A device answers again: what was wrong with it may be over for its neighbours too."""
        health.failures, health.error = 0, None
        for other in self.health.values():
            other.retry_at_s = -np.inf


class Collector:
    """Makes one `SiteState` per call.

    Args:
        layout: of the part of the site this controller reads.
        groups: the links, opened by their owner.
        clock: monotonic and wall clock.
        max_age_s: the values of an older sample count as unknown; its instant is still told [s].
    """

    def __init__(self, layout: SiteLayout, groups: Sequence[DriverGroup], clock: Clock, max_age_s: float) -> None:
        self._layout = layout
        self._clock = clock
        self._max_age_s = max_age_s
        #: devices whose medium brings news less often
        self._seldom_s = {m.id: m.latency.stale_s for m in layout.mims if m.latency.stale_s > max_age_s}
        #: devices that nobody can ask: how long after the beginning it may take until they are first heard
        self._patience_s = {m.id: m.latency.stale_s for m in layout.mims if m.latency.report_every_s > 0}
        self._began_s = math.inf
        self._meters = [meter.id if meter is not None else None for meter in layout.meter_of_node]
        self._mims = [mim.id for mim in layout.mims]
        self._transfers = [transfer.id for transfer in layout.site.transfers]
        wanted = {*self._meters, *self._mims, *self._transfers}
        chosen = [(group, [d for name, d in group.drivers.items() if name in wanted]) for group in groups]
        self._sweeps = [LinkSweep(group, drivers, clock) for group, drivers in chosen if drivers]
        self._running: dict[LinkSweep, asyncio.Task[None]] = {}
        self._map = ImageMap(layout)
        self._image = np.full(self._map.size, np.nan)
        self._stored: dict[str, Sample] = {}
        self._seen_at_s: dict[str, float] = {}
        #: the meter of each node, empty where there is none
        self._by_node = [name or "" for name in self._meters]

    async def collect(self, deadline_s: float) -> SiteState:
        """Sweep every link, wait for them until `deadline_s` (monotonic), and take what is there.

        A sweep that is not done by then goes on; its late samples are taken by the next call.
        """
        self._began_s = min(self._began_s, self._clock.monotonic_s())
        for sweep in self._sweeps:
            if sweep not in self._running:
                self._running[sweep] = asyncio.create_task(sweep.run(), name=f"sweep {sweep.group.link}")
        if self._running:
            wait_s = max(0.0, deadline_s - self._clock.monotonic_s())
            done, _ = await asyncio.wait(self._running.values(), timeout=wait_s)
            for sweep, task in list(self._running.items()):
                if task in done:
                    del self._running[sweep]
                    task.result()
        return self._state()

    async def close(self) -> None:
        """Stop sweeps that are still going."""
        await end_tasks(*self._running.values())
        self._running.clear()

    def errors(self) -> Mapping[str, LinkError]:
        """The devices whose last read failed, and how."""
        return {name: h.error for sweep in self._sweeps for name, h in sweep.health.items() if h.error is not None}

    def awaited(self) -> frozenset[str]:
        """Devices that report by themselves and were never heard, so soon after the beginning that nothing need be wrong."""
        since_s = self._clock.monotonic_s() - self._began_s
        waiting = {name: patience_s for name, patience_s in self._patience_s.items() if since_s < patience_s}
        if not waiting:
            return frozenset()
        never = ((sweep, d.device) for sweep in self._sweeps for d in sweep.devices if d.device not in sweep.samples)
        return frozenset(n for sweep, n in never if n in waiting and (since_s < _LINK_STARTS_S or not sweep.is_down(n)))

    def doubts(self) -> Mapping[str, Reason]:
        """The devices that answer, but not with everything they should, and why."""
        read = ((name, sample.reason) for s in self._sweeps for name, sample in s.samples.items())
        told = {name: reason for name, reason in read if reason is not None}
        failed = self.errors() if told else {}
        return {name: reason for name, reason in told.items() if name not in failed}

    def sweeps_s(self) -> Mapping[str, Sequence[float]]:
        """By link, how long the last sweeps took [s]."""
        return {sweep.group.link: tuple(sweep.durations_s) for sweep in self._sweeps}

    def starting(self) -> bool:
        """Some device has neither answered nor failed so far."""
        return any(d.device not in s.samples and not s.failed(d.device) for s in self._sweeps for d in s.devices)

    def _state(self) -> SiteState:
        now_s = self._clock.monotonic_s()
        self._take_all(now_s)
        image = self._image.copy()
        vague_var = self._map.settle(image)
        frozen(image)

        block = self._map.blocks(image).__getitem__
        nodes = NodeState(
            import_w=block("import_w"),
            import_var=block("import_var"),
            voltage_ln_v=block("voltage_ln_v"),
            current_a=block("current_a"),
            neutral_a=block("neutral_a"),
            thd_v_pct=block("thd_v_pct"),
            thd_i_pct=block("thd_i_pct"),
            quality=self._node_quality(block("import_w"), block("import_var")),
            taken_at_s=self._taken_at(self._by_node),
            frequency_hz=block("frequency_hz"),
            vague_var=vague_var,
        )
        ports = PortState(
            inject_w=block("inject_w"),
            inject_var=block("inject_var"),
            voltage_v=block("port_voltage_v"),
            available_inject_w=block("available_inject_w"),
            available_absorb_w=block("available_absorb_w"),
            current_a=block("port_current_a"),
            harmonic_share=block("harmonic_share_pct") / 100,
        )
        mims = MimState(
            quality=self._mim_quality(ports.inject_w, ports.inject_var),
            taken_at_s=self._taken_at(self._mims),
            sequence_ack=block("sequence_ack"),
            command_status=block("command_status"),
            watchdog_remaining_s=block("watchdog_remaining_s"),
            temperature_degc=block("temperature_degc"),
            alarms=block("alarms"),
            operating_state=block("operating_state"),
        )
        soc = block("soc_pct")
        batteries = BatteryState(soc, frozen(np.where(np.isnan(soc), BAD, GOOD)))
        transfers = self._transfer_image(block) if self._transfers else None
        return SiteState(self._layout, now_s, self._clock.utc(), nodes, ports, mims, batteries, transfers)

    def _transfer_image(self, block: Callable[[str], FloatArray]) -> TransferImage:
        devices, codes = self._layout.site.transfers, block("transfer_code")
        states = [int(d.state_of(None if np.isnan(code) else float(code))) for d, code in zip(devices, codes, strict=True)]
        fixed = np.array([d.fixed is not None for d in devices])
        quality = np.where(np.isnan(codes), BAD, self._qualities(self._transfers))
        return TransferImage(
            state=frozen(np.array(states, dtype=np.int64)),
            quality=frozen(np.where(fixed, GOOD, quality)),
            taken_at_s=self._taken_at(self._transfers),
            available_va=block("transfer_available_va"),
            frequency_hz=block("transfer_frequency_hz"),
        )

    def _take_all(self, now_s: float) -> None:
        """What the sweeps brought since the last call, all at once; what has become too old goes."""
        seen, stored, seldom_s, most_s, fresh = self._seen_at_s, self._stored, self._seldom_s, self._max_age_s, dict[str, Sample]()
        for sweep in self._sweeps:
            for device, sample in sweep.samples.items():
                seen[device] = taken_at_s = sample.taken_at_s
                gone = sample.quality == BAD or now_s - taken_at_s > (seldom_s.get(device, most_s) if seldom_s else most_s)
                # what tells something seldom would be believed for long after its link is gone
                if gone or (device in seldom_s and sweep.is_down(device)):
                    if stored.pop(device, None) is not None:
                        self._map.forget(self._image, device)
                elif stored.get(device) is not sample:
                    fresh[device] = sample
        self._map.store(self._image, list(fresh.values()))
        stored.update(fresh)

    def _taken_at(self, devices: Sequence[str]) -> FloatArray:
        """Instants of the last samples, also of those too old to be believed; NaN where there never was one."""
        return frozen(np.array([*map(self._seen_at_s.get, devices)], dtype=np.float64))  # None becomes NaN

    def _qualities(self, devices: Sequence[str]) -> IntArray:
        samples = map(self._stored.get, devices)
        return np.array([BAD if sample is None else sample.quality for sample in samples], dtype=np.int64)

    def _node_quality(self, import_w: FloatArray, import_var: FloatArray) -> IntArray:
        unknown, quality = np.isnan(import_w + import_var), self._qualities(self._by_node)
        if unknown.any():
            quality[unknown.any(axis=1)] = BAD
        return frozen(quality)

    def _mim_quality(self, inject_w: FloatArray, inject_var: FloatArray) -> IntArray:
        unknown, quality = np.isnan(inject_w + inject_var), self._qualities(self._mims)
        if unknown.any():
            quality[self._layout.port_mim[unknown]] = BAD
        return frozen(quality)
