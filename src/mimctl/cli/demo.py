"""`mimctl demo`: the real service against a digital twin served over real Modbus/TCP on this machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mimctl.cli.before_after import print_before_after
from mimctl.cli.interrupts import INTERRUPTED, loading
from mimctl.cli.media import at_work
from mimctl.cli.options import Number, faults_option, seed_option
from mimctl.cli.render import console, fail, json_option, write_json

if TYPE_CHECKING:
    import asyncio

    from mimctl.model.site import Site
    from mimctl.service.app import Service
    from mimctl.simulation.measured import MeasuredScore

#: left out after control begins: the first plans, the devices' response, and one more look
SETTLING_S = 5.0
_LOOK_EVERY_S = 0.5
#: complete measurements that each part of the comparison needs at least
_LEAST_LOOKS = 2
_SHORTEST_S, _LONGEST_S = 12.0, 86_400.0
#: how long the first complete measurement may take, and how much longer than planned a part may last to have its least looks
_FIRST_WITHIN_S, _PATIENCE_S = 30.0, 10.0


@click.command(epilog="Example: mimctl demo --seconds 60 --json result.json")
@click.argument("site", type=click.Path(path_type=Path), required=False)
@click.option(
    "--seconds",
    type=Number(_SHORTEST_S, _LONGEST_S),
    default=45.0,
    show_default=True,
    help="How long, from the first complete measurement on.",
)
@click.option("--live/--no-live", default=None, help="Live table [default: on a terminal].")
@seed_option
@faults_option
@json_option
def command(
    site: Path | None, seconds: float, live: bool | None, seed: int | None, faults: Path | None, json_target: str | None
) -> None:
    """Run the service on a digital twin; watch its phases balance.

    The first third of the time nothing is controlled, then everything is. SITE is the packaged demo site unless given. Ctrl-C
    shows what was compared so far; the exit code is 130 then.
    """
    with loading():
        import asyncio

        from mimctl.cli.twin import faults_of_twin
        from mimctl.cli.twin_process import twin_process
        from mimctl.config.site import load_site
        from mimctl.model.clock import SystemClock
        from mimctl.model.resources import site_config
        from mimctl.service.logs import set_up

        path = site or site_config("demo")
        loaded = load_site(path)
        _long_enough(loaded, seconds)
        if faults is not None:  # refused here, with every problem, rather than by the twin's process
            faults_of_twin(faults, loaded, SystemClock().utc(), loaded.twin.seed if seed is None else seed)
    screen = console(stderr=json_target == "-")
    live = screen.is_terminal if live is None else live
    set_up("error" if live else "warning")
    screen.print(f"{loaded.name}: starting {len(loaded.meters) + len(loaded.mims)} virtual devices …")
    with twin_process(path, seed, faults) as links:
        result = asyncio.run(_run(links(loaded), seconds, live))
    if json_target is not None:
        write_json(json_target, result)
    title = f"Before → after by the site's own meters, without the first {SETTLING_S:.0f} s of control"
    print_before_after(loaded, result, title, to_stderr=json_target == "-", fundamental_neutral=True)
    working = at_work(loaded, result["status"])
    if working:
        screen.print(f"{working}, at the end")
    if result["interrupted_after_s"] is not None:
        fail(f"interrupted after {result['interrupted_after_s']:.0f} s", INTERRUPTED)
    for name, looks in result["cycles"].items():
        if looks < _LEAST_LOOKS:
            fail(f"nothing to compare: {looks} complete measurements {_PART[name]}, {_LEAST_LOOKS} are needed")


_PART = {"baseline": "without control", "controlled": "under control"}


def _long_enough(site: Site, seconds: float) -> None:
    """Two thirds of the time must hold the settling and the looks after it, also where cycles are long."""
    cycle_s = max((zone.cycle_s for zone in site.zones), default=1.0)
    least_s = 1.5 * (SETTLING_S + (_LEAST_LOOKS + 1) * cycle_s)
    if seconds < least_s:
        fail(f"with a cycle of {cycle_s:g} s the demo needs --seconds {least_s:.0f} at least")


async def _run(site: Site, seconds: float, live: bool) -> dict[str, Any]:
    """The service, watched: a third without control, the rest with it."""
    import asyncio

    from mimctl.model.clock import SystemClock
    from mimctl.model.layout import SiteLayout
    from mimctl.service.app import Service
    from mimctl.service.links import open_groups
    from mimctl.service.signals import stop_on_signals
    from mimctl.simulation.measured import MeasuredScore

    clock = SystemClock()
    service = Service(site, open_groups(site, clock), clock)
    service.pause(True)
    scores = {name: MeasuredScore(SiteLayout(site)) for name in _PART}
    with stop_on_signals() as stop:
        running = asyncio.create_task(service.run(stop))
        watch = _Watch(service, scores, seconds, stop, running)
        try:
            interrupted_after_s = await watch.run(live)
        finally:
            stop.set()
            await running
    return {
        **{name: score.summary() for name, score in scores.items()},
        "site": site.id,
        "seconds": seconds,
        "settling_s": SETTLING_S,
        "interrupted_after_s": interrupted_after_s,
        "cycles": {name: score.cycles for name, score in scores.items()},
        "status": watch.status,
    }


@dataclass(eq=False)
class _Watch:
    """Looks at the running service, scores what it sees, and begins control when a third of the time is over."""

    service: Service
    scores: dict[str, MeasuredScore]
    seconds: float
    stop: asyncio.Event
    running: asyncio.Task[tuple[str, ...]]
    status: dict[str, Any] = field(default_factory=dict)
    _seen: dict[str, int] = field(default_factory=dict)
    _first_s: float | None = None
    _control_s: float | None = None

    async def run(self, live: bool) -> float | None:
        """None when it had its time; else after how many seconds somebody stopped it."""
        from mimctl.cli.live import answering, shown_nodes

        clock = self.service.clock
        began_s, shown = clock.monotonic_s(), shown_nodes(self.service.site)
        with _screen(live) as show:
            while not self.running.done():
                now_s = clock.monotonic_s()
                phase, left_s = self._look(now_s, began_s)
                if left_s is None:
                    break
                self.status = self.service.status()
                parts = [self.status["name"], phase, f"{left_s:.0f} s left", "Ctrl-C ends it", answering(self.status)]
                headline = " · ".join(filter(None, [*parts, at_work(self.service.site, self.status)]))
                show(self.status, shown, headline)
                if await self._stopped_within(_LOOK_EVERY_S):
                    return clock.monotonic_s() - began_s
        if self.running.done():
            self.running.result()
        return clock.monotonic_s() - began_s if self.stop.is_set() else None

    def _look(self, now_s: float, began_s: float) -> tuple[str, float | None]:
        """What is going on, and for how long still [s]; None = no longer.

        Time begins with the first complete measurement. A part that has not had its least looks lasts a little longer.
        """
        before, after = self.scores["baseline"], self.scores["controlled"]
        if self._control_s is None:
            self._score(before)
            if before.cycles == 0:
                return "first measurements", self.seconds if now_s < began_s + _FIRST_WITHIN_S else None
            self._first_s = now_s if self._first_s is None else self._first_s
            over_s = now_s - self._first_s - self.seconds / 3
            if not _is_over(over_s, before):
                return "without control", self.seconds * 2 / 3 + max(0.0, -over_s)
            self._control_s = now_s
            self.service.pause(False)
        elif now_s >= self._control_s + SETTLING_S:
            self._score(after)
        over_s = now_s - self._control_s - self.seconds * 2 / 3
        return "balancing", None if _is_over(over_s, after) else max(0.0, -over_s)

    def _score(self, score: MeasuredScore) -> None:
        zones = self.service.controller.zones
        fresh = {zone.zone.id: zone.cycle.number for zone in zones}
        if fresh != self._seen:
            score.add(zones, _LOOK_EVERY_S, self.service.controller.upper_state)
        self._seen = fresh

    async def _stopped_within(self, seconds: float) -> bool:
        import asyncio

        try:
            async with asyncio.timeout(seconds):
                await self.stop.wait()
        except TimeoutError:
            return False
        return True


def _is_over(over_s: float, score: MeasuredScore) -> bool:
    """A part ends when its time is over and it has its looks, or when they do not come."""
    return over_s >= (0.0 if score.cycles >= _LEAST_LOOKS else _PATIENCE_S)


def _screen(live: bool) -> Any:
    """A context that gives a function to show a status; it shows nothing where that is not wanted."""
    import contextlib

    if not live:
        return contextlib.nullcontext(lambda _status, _only, _headline: None)

    @contextlib.contextmanager
    def screen() -> Any:
        from rich.live import Live

        from mimctl.cli.live import live_view

        with Live(console=console(), auto_refresh=False, vertical_overflow="crop") as picture:

            def show(status: Any, only: Any, headline: str) -> None:
                picture.update(live_view(status, only, headline, picture.console.size), refresh=True)

            yield show

    return screen()
