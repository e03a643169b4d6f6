"""`mimctl demo`: the real service against a digital twin served over real Modbus/TCP on this machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mimctl.cli.before_after import print_before_after
from mimctl.cli.render import console, json_option, write_json

if TYPE_CHECKING:
    import asyncio

    from mimctl.model.site import Site
    from mimctl.service.app import Service
    from mimctl.simulation.measured import MeasuredScore

#: left out after control begins: the first plans, the devices' response, and one more look
SETTLING_S = 5.0
_LOOK_EVERY_S = 0.5


@click.command(epilog="Example: mimctl demo --seconds 60 --json result.json")
@click.argument("site", type=click.Path(path_type=Path), required=False)
@click.option("--seconds", type=click.FloatRange(min=6), default=45.0, show_default=True, help="How long, in all.")
@click.option("--live/--no-live", default=None, help="Live table [default: on a terminal].")
@click.option("--seed", type=int, default=None, help="Of the twin's loads and noise.")
@json_option
def command(site: Path | None, seconds: float, live: bool | None, seed: int | None, json_target: str | None) -> None:
    """Run the service on a digital twin; watch its phases balance.

    The first third of the time nothing is controlled, then everything is. SITE is the packaged demo site unless given.
    """
    import asyncio

    from mimctl.cli.twin_process import twin_process
    from mimctl.config.site import load_site
    from mimctl.model.resources import site_config
    from mimctl.service.logs import set_up

    path = site or site_config("demo")
    loaded = load_site(path)
    screen = console(stderr=json_target == "-")
    live = screen.is_terminal if live is None else live
    set_up("error" if live else "warning")
    screen.print(f"{loaded.name}: starting {len(loaded.meters) + len(loaded.mims)} virtual devices …")
    with twin_process(path, seed) as links:
        result = asyncio.run(_run(links(loaded), seconds, live))
    if result is None:
        raise KeyboardInterrupt
    if json_target is not None:
        write_json(json_target, result)
    title = f"Before and after, as the site's own meters saw it (the first {SETTLING_S:.0f} s of control left out)"
    print_before_after(loaded, result, title, to_stderr=json_target == "-")


async def _run(site: Site, seconds: float, live: bool) -> dict[str, Any] | None:
    """The service, watched: a third without control, the rest with it. None when interrupted."""
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
    scores = {name: MeasuredScore(SiteLayout(site)) for name in ("baseline", "controlled")}
    with stop_on_signals() as stop:
        running = asyncio.create_task(service.run(stop))
        watch = _Watch(service, scores, seconds, stop, running)
        try:
            interrupted = await watch.run(live)
        finally:
            stop.set()
            await running
    if interrupted:
        return None
    return {
        **{name: score.summary() for name, score in scores.items()},
        "site": site.id,
        "seconds": seconds,
        "settling_s": SETTLING_S,
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

    async def run(self, live: bool) -> bool:
        """True when somebody stopped it before its time."""
        clock, site = self.service.clock, self.service.site
        began_s, shown = clock.monotonic_s(), _shown_nodes(site)
        with _screen(live) as show:
            while (since_s := clock.monotonic_s() - began_s) < self.seconds and not self.running.done():
                phase = self._look(since_s)
                self.status = self.service.status()
                show(self.status, shown, f"{site.name} · {phase} · {self.seconds - since_s:.0f} s left · Ctrl-C ends it")
                if await self._stopped_within(_LOOK_EVERY_S):
                    return True
        if self.running.done():
            self.running.result()
        return self.stop.is_set()

    def _look(self, since_s: float) -> str:
        zones, control_s = self.service.controller.zones, self.seconds / 3
        before = since_s < control_s
        self.service.pause(before)
        fresh = {zone.zone.id: zone.cycle.number for zone in zones}
        if fresh != self._seen and not control_s <= since_s < control_s + SETTLING_S:
            self.scores["baseline" if before else "controlled"].add(zones, _LOOK_EVERY_S)
        self._seen = fresh
        return "without control" if before else "balancing"

    async def _stopped_within(self, seconds: float) -> bool:
        import asyncio

        try:
            await asyncio.wait_for(self.stop.wait(), seconds)
        except TimeoutError:
            return False
        return True


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


def _shown_nodes(site: Site) -> frozenset[str]:
    """Feeds and PDUs; the racks too where there is nothing between."""
    from mimctl.model.site import NodeKind

    upper = frozenset(node.id for node in site.nodes if node.kind is not NodeKind.RACK)
    return upper if len(upper) > 1 else frozenset(node.id for node in site.nodes)
