"""Whatever happens, in whatever order: no two sources meet, nobody forms what is alive, and nobody does so unasked."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.island_site import FORMERS, island_site
from tests.loop.island_loop import Island

from mimctl.control.events import EventLog
from mimctl.control.site_controller import build_site_controller
from mimctl.model.errors import UserError
from mimctl.model.fault import Fault, FaultKind
from mimctl.model.lease import LeaseSource, LockOut
from mimctl.twin.drivers import PlantDriverGroup
from mimctl.twin.faults import schedule

#: as long as `check` demands: 5 s old data, two cycles, 10 s validity, 1 s on the way down, 5 s dead
RECLOSE_S = 23.0


def lose(loop: Island) -> None:
    """The feed is lost, if it is there; its contactor opens."""
    if not loop.switch.lost:
        loop.plant.cut(loop.layout.node_index["feed"])
        loop.plant.switches.lose(loop.switch, later(loop))


def give_back(loop: Island) -> None:
    """It is back; its contactor closes after a while."""
    if loop.switch.lost:
        loop.plant.restore(loop.layout.node_index["feed"])
        loop.plant.switches.regain(loop.switch, later(loop))


def later(loop: Island) -> Callable[[float, Callable[[], None]], None]:
    return lambda seconds, action: loop.fleet.at(loop.fleet.now_s + seconds, action)


def ask(mim: str) -> Callable[[Island], None]:
    def act(loop: Island) -> None:
        try:
            loop.ask(mim, owner=mim, seconds=25.0)
        except UserError:
            return  # the bus has a former

    return act


def silence(device: str) -> Callable[[Island], None]:
    def act(loop: Island) -> None:
        schedule(loop.plant, [Fault(FaultKind.OFFLINE, (device,), loop.plant.t_s, loop.plant.t_s + 9)])

    return act


def lie(loop: Island) -> None:
    """What the contactor shows hangs from here on."""
    loop.switch.told = None if loop.switch.told is not None else loop.switch.state


def restart(loop: Island) -> None:
    """Without a word to anybody."""
    loop.group, loop.events = PlantDriverGroup(loop.plant), EventLog(loop.clock)
    loop.controller = build_site_controller(loop.site, [loop.group], loop.clock, loop.events, cycle_s=loop.step_s)


def sleep(loop: Island) -> None:
    """The controller does nothing for a while, and goes on as if nothing had been."""
    loop.plant.advance_to(loop.plant.t_s + 12.3)
    loop.clock.advance_to(loop.plant.t_s)


def lock(loop: Island) -> None:
    book = loop.controller.leases
    standing = [lease for lease in book.active() if isinstance(lease.action, LockOut)]
    if standing:
        book.take(standing[0].id, "bob")
    else:
        book.put(book.draft(LeaseSource.MAINTENANCE, "bob", "rack1", LockOut(), seconds=None, reason="work"))


ACTIONS: dict[str, Callable[[Island], None]] = {
    "lose": lose,
    "give back": give_back,
    **{f"ask {mim}": ask(mim) for mim in FORMERS},
    **{f"silence {device}": silence(device) for device in ("mim-rack1", "mim-rack2", "m-pdu", "m-feed", "k")},
    "lie": lie,
    "restart": restart,
    "sleep": sleep,
    "lock": lock,
}
#: the way in which a bus comes to be formed is found more often than by chance
_STEP = st.one_of(st.sampled_from(["lose", "give back", "ask mim-rack1"]), st.sampled_from(sorted(ACTIONS)))


@settings(derandomize=True, max_examples=8, deadline=None)
@given(late=st.integers(0, 1), steps=st.lists(st.tuples(_STEP, st.integers(1, 9)), min_size=4, max_size=7))
async def test_no_two_sources_ever_meet(late, steps):
    loop = Island(island_site(rating_va=8000, reclose_s=RECLOSE_S, transfer_s=RECLOSE_S), delay_cycles=late)
    await loop.run(2)
    for name, cycles in [("lose", 4), *steps]:
        ACTIONS[name](loop)
        for _ in range(cycles):
            await loop.run(1)
            assert sum(loop.forming) <= 1
            assert not loop.damages
            assert loop.fleet.formers.live_bus_commands.sum() == 0
    await loop.run(14)
    asked = bool(loop.controller.leases.forms(loop.layout))
    assert asked or not any(loop.forming), "nobody forms a bus that nobody asks for"
