"""One LoRaWAN link: uplinks to those who watch a device, downlinks and their fate. Nothing from the air raises out of it."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from mimctl.model.clock import Clock
from mimctl.model.errors import LinkDown, LinkError
from mimctl.model.event import LinkNews
from mimctl.model.link import Link
from mimctl.model.lorawan import LorawanLink
from mimctl.wire.chirpstack import require_extra
from mimctl.wire.chirpstack.ages import BACKLOG_S, age_s, doubt
from mimctl.wire.chirpstack.events import Join, Log, MalformedEvent, Uplink, read_event
from mimctl.wire.chirpstack.groups import GroupPart, GroupQueues, Told
from mimctl.wire.chirpstack.lifecycle import Downlink, DownlinkTracker
from mimctl.wire.chirpstack.server_api import CALL_S, ServerApi
from mimctl.wire.chirpstack.sessions import Sessions, Verdict
from mimctl.wire.chirpstack.stream import Backoff, EventStream

#: what happened, kept until somebody takes it
_MOST_NEWS = 1000
#: log entries of the server that mean that somebody may be playing with the air
_ALARMS = ("UPLINK_F_CNT_RESET", "UPLINK_MIC")
#: called with an uplink and the monotonic instant at which it was heard
Listener = Callable[[Uplink, float], None]


@dataclass(slots=True)
class _Watched:
    device: str
    listener: Listener
    most_age_s: float
    downlinks: DownlinkTracker
    #: whether it listens all the time, as its last uplink had it; None = not heard yet
    listens: bool | None = None


class LorawanBridge:
    """The devices of one ChirpStack application.

    Args:
        link: of type lorawan.
        call_s: longest wait for an answer of the server or the broker [s].
    """

    def __init__(self, link: Link, clock: Clock, *, backoff: Backoff | None = None, call_s: float = CALL_S) -> None:
        require_extra()
        if link.lorawan is None:
            raise ValueError(f"{link.id} is no LoRaWAN link")
        spec: LorawanLink = link.lorawan
        self._link, self._spec, self._clock = link, spec, clock
        self._watched: dict[str, _Watched] = {}
        self._sessions = Sessions()
        self._api = ServerApi(spec, clock, call_s=call_s, backoff=backoff)
        topic = f"application/{spec.application}/device/+/event/+"
        client_id = spec.client_id or f"mimctl-{link.id}"
        self._stream = EventStream(link, topic, client_id, clock, take=self._take, answer_s=call_s, backoff=backoff)
        self._log = structlog.get_logger("mimctl.lorawan")
        self._groups = GroupQueues(self._api, clock)
        self._news: deque[LinkNews] = deque(maxlen=_MOST_NEWS)
        self._told: set[str] = set()
        #: messages by what became of them
        self.counts: Counter[str] = Counter()

    @property
    def link(self) -> str:
        return self._link.id

    @property
    def connected(self) -> bool:
        """Whether events come: without them nobody knows what becomes of a downlink."""
        return self._stream.connected

    @property
    def connections(self) -> int:
        return self._stream.connections

    def watch(self, eui: str, device: str, listener: Listener, most_age_s: float) -> None:
        """Hand on the uplinks of a device.

        Args:
            most_age_s: older ones are not handed on [s].
        """
        self._watched[eui] = _Watched(device, listener, most_age_s, DownlinkTracker(partial(self._moved, device)))

    async def open(self) -> None:
        """Start keeping the link up; returns at once."""
        await self._stream.open()

    async def close(self) -> None:
        await self._stream.close()
        await self._api.close()

    def background(self) -> tuple[asyncio.Task[None], ...]:
        """What keeps the event stream up, from `open` to `close`."""
        return self._stream.background()

    def require_up(self, device: str) -> None:
        """
        Raises:
            LinkDown: no events come.
        """
        if not self.connected:
            raise LinkDown(device, self._stream.why)

    async def send(
        self, eui: str, sequence: int, port: int, payload: bytes, valid_s: float, due_s: float, *, urgent: bool = False
    ) -> None:
        """Queue a downlink; the newest one wins.

        Args:
            valid_s: not sent by then, it is dropped [s].
            due_s: not echoed by then, it counts as lost, monotonic [s].
            urgent: also without events, and while the server is being left alone: to make a device safe is always right.

        Raises:
            LinkError: it is not in the queue.
        """
        watched = self._watched[eui]
        if not urgent:
            self.require_up(watched.device)
            self._api.require_rested(watched.device)
        if watched.listens is False:
            text = "the network server has it in class A: setpoints wait for its next report; class C belongs in its device profile"
            self._tell_once("lorawan.class_a", watched.device, text)
        await self._groups.make_way(watched.device, eui, watched.downlinks, urgent=urgent)
        watched.downlinks.begin(sequence, due_s)
        try:
            item = await self._api.enqueue(watched.device, eui, port, payload, valid_s)
        except LinkError as error:
            watched.downlinks.refused(error.what)
            raise
        except BaseException:
            watched.downlinks.refused("given up before the server answered")
            raise
        watched.downlinks.enqueued(item)

    async def send_group(self, group: str, port: int, payload: bytes, valid_s: float, parts: Sequence[GroupPart]) -> None:
        """Queue one frame with the setpoints of several devices of a multicast group.

        Raises:
            LinkError: it is not in the queue.
        """
        told = [Told(self._watched[part.eui].device, part, self._watched[part.eui].downlinks) for part in parts]
        self.require_up(told[0].device)
        self._api.require_rested(told[0].device)
        await self._groups.send(group, port, payload, valid_s, told)
        self.counts["group frames"] += 1

    async def release_group(self, device: str, group: str, port: int, payload: bytes, valid_s: float) -> None:
        """Queue the release of a whole group in place of whatever waits there; needs no events. Raises as `send_group`."""
        await self._groups.release(device, group, port, payload, valid_s)
        self.counts["group frames"] += 1

    async def ask(self, eui: str, port: int, payload: bytes, valid_s: float) -> None:
        """Queue a frame that changes nothing, in place of whatever waits: nobody follows it, for its answer is what counts.

        Raises:
            LinkError: it is not in the queue.
        """
        device = self._watched[eui].device
        self.require_up(device)
        self._api.require_rested(device)
        await self._api.enqueue(device, eui, port, payload, valid_s)
        self.counts["asked"] += 1

    def downlinks(self, eui: str) -> DownlinkTracker:
        """What became of the downlinks of a device, as of now."""
        tracker = self._watched[eui].downlinks
        tracker.pass_to(self._clock.monotonic_s())
        return tracker

    def take_news(self) -> list[LinkNews]:
        """What happened since the last call."""
        news = list(self._news)
        self._news.clear()
        return news

    def _take(self, topic: str, payload: bytes) -> None:
        """One message. Whatever is wrong with it is counted, and told once."""
        try:
            event = read_event(topic, payload, self._spec.application)
            if event is None:
                self.counts["passed over"] += 1
                return
            watched = self._watched.get(event.eui)
            if watched is None:
                self._refuse("unknown device", f"an event of {event.eui}, which the site file does not have")
            elif isinstance(event, Uplink):
                self._uplink(watched, event)
            elif isinstance(event, Join):
                self.counts["joined"] += 1
                self._sessions.joined(event.eui)
            else:
                self.counts["told"] += 1
                if isinstance(event, Log) and event.code in _ALARMS:
                    self._alarm(watched.device, event)
                watched.downlinks.happened(event)
        except MalformedEvent as error:
            self._refuse("malformed", str(error))
        except Exception as error:  # noqa: BLE001 - the air must not bring the bridge down, whatever it finds; it is counted and told
            self._refuse("failed", f"{type(error).__name__} at a message of {len(payload)} bytes")
            self._log.debug("event.failed", exc_info=error)

    def _uplink(self, watched: _Watched, uplink: Uplink) -> None:
        utc, now_s = self._clock.utc(), self._clock.monotonic_s()
        age = age_s(uplink, utc, live=now_s - self._stream.since_s > BACKLOG_S)
        verdict = self._sessions.judge(uplink, age, watched.most_age_s)
        heard = verdict is Verdict.NEWS and not uplink.is_empty
        self.counts["empty" if verdict is Verdict.NEWS and not heard else str(verdict)] += 1
        watched.listens = uplink.listens
        if heard:
            watched.listener(uplink, now_s - age)
        elif verdict is Verdict.REPLAY:
            text = f"frame {uplink.counter} comes after later ones without a join: a replay, or the device counts anew"
            self._tell_once("lorawan.counter_back", watched.device, text)
        # nobody would see more of a device with such a gateway than its silence
        if verdict in (Verdict.NEWS, Verdict.OLD) and (wrong := doubt(uplink, utc, watched.most_age_s)) is not None:
            self._tell_once("lorawan.gateway_clock", watched.device, wrong)

    def _alarm(self, device: str, log: Log) -> None:
        self._tell_once(f"lorawan.{log.code.lower()}", device, f"{log.code} {log.text}".strip())

    def _tell_once(self, code: str, device: str, text: str) -> None:
        if f"{code} {device}" not in self._told:
            self._told.add(f"{code} {device}")
            self._news.append(LinkNews(code, device, text, bad=True))
            self._log.warning(code, device=device, text=text)

    def _refuse(self, kind: str, text: str) -> None:
        self.counts[kind] += 1
        if kind not in self._told:
            self._told.add(kind)
            self._log.warning("event.refused", link=self.link, kind=kind, first=text)

    def _moved(self, device: str, downlink: Downlink) -> None:
        state = downlink.state
        self.counts[f"downlink {state}"] += 1
        text = f"setpoint {downlink.sequence}: {state}{f', {downlink.text}' if downlink.text else ''}"
        self._news.append(LinkNews(f"lorawan.{state}", device, text, bad=state.is_failure))
        self._log.debug("downlink", device=device, sequence=downlink.sequence, state=str(state), text=downlink.text)
