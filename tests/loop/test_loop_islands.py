"""Form mode in a closed loop: only by an operator's lease, only on a bus that is proven dead and cut off, and at an end in time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from tests.island_site import island_site
from tests.loop.closed_loop import ClosedLoop

from mimctl.control.events import EventLog
from mimctl.control.explain.answer import answer
from mimctl.control.explain.case import Question
from mimctl.control.explain.find import cases_of
from mimctl.control.site_controller import build_site_controller
from mimctl.model.errors import LinkTimeout, UserError
from mimctl.model.fault import Fault, FaultKind
from mimctl.model.lease import Form, Lease, LeaseSource, LockOut, Pause, Setpoint
from mimctl.model.reason import Reason
from mimctl.model.transfer import TransferState
from mimctl.service.form_desk import at_its_node, islands_status
from mimctl.service.lease_desk import LeaseDesk
from mimctl.twin.drivers import PlantDriverGroup, PlantMim, PlantTransfer
from mimctl.twin.faults import schedule


@dataclass(eq=False)
class Island(ClosedLoop):
    """Loads that the former of rack 1 can carry."""

    site: object = field(default_factory=lambda: island_site(rating_va=8000))  # type: ignore[assignment]
    delay_cycles: int = 0

    @property
    def cycle(self):
        return self.controller.zones[0].cycle

    @property
    def switch(self):
        return self.plant.switches.devices[0]

    def lose(self, seconds: float = 1000.0) -> None:
        """The feed is lost; its contactor opens."""
        now_s = self.plant.t_s
        schedule(self.plant, [Fault(FaultKind.FEED_LOST, ("A",), now_s, now_s + seconds)])

    def ask(self, mim: str = "mim-rack1", *, owner: str = "ann", seconds: float = 600.0) -> Lease:
        book = self.controller.leases
        lease = book.draft(LeaseSource.OPERATOR, owner, mim, Form("pdu"), seconds=seconds, reason="feed A is out")
        book.put(lease)
        return lease

    def objections(self, mim: str = "mim-rack1") -> tuple[str, ...]:
        draft = self.controller.leases.draft(LeaseSource.OPERATOR, "ann", mim, Form("pdu"), seconds=60.0, reason="try")
        return self.cycle.form_objections(draft)

    @property
    def forming(self) -> list[bool]:
        return self.fleet.formers.forming.tolist()

    @property
    def leases(self) -> list[str]:
        return [lease.kind for lease in self.controller.leases.active()]

    @property
    def mishaps(self):
        return self.plant.islands.mishaps

    @property
    def damages(self):
        return self.plant.islands.damages

    def ended(self) -> str:
        return next(e.text for e in reversed(self.events.recent()) if e.code == "lease.ended")

    def volts(self, node: str = "rack3") -> float:
        return float(np.abs(self.plant.solve().voltage_v[self.layout.node_index[node]]).max())


async def formed(**more: object) -> Island:
    """A bus that has been formed for a while."""
    loop = Island(**more)  # type: ignore[arg-type]
    await loop.run(2)
    loop.lose()
    await loop.run(2)
    assert not loop.objections()
    loop.ask()
    await loop.run(4)
    assert loop.forming == [True, False, False]
    return loop


async def over(loop: Island, why: str, *, within: int = 2) -> None:
    """The bus is dead in so many cycles, its lease over, and nothing begins again."""
    for _ in range(within):
        await loop.run(1)
    assert not any(loop.forming)
    assert loop.volts() == 0
    assert "form" not in loop.leases
    if why:
        assert why in loop.ended()
    begun = loop.fleet.formers.sequence.copy()
    await loop.run(8)
    assert not any(loop.forming)
    assert np.array_equal(loop.fleet.formers.sequence, begun), "nobody tries again"
    assert not loop.damages


async def test_a_bus_is_formed_by_lease_once_it_is_dead_and_feeds_its_racks():
    loop = await formed()
    assert loop.volts() == pytest.approx(230)
    assert {event.code for event in loop.events.open()} >= {"island.formed", "transfer.open"}
    assert not loop.fleet.enabled.any(), "everybody else is at rest until it has been alive for a while"
    await loop.run(20)
    assert loop.forming == [True, False, False]
    assert not {"mim.ignores_setpoint", "mim.write_failed"} & {event.code for event in loop.events.open()}
    assert not loop.mishaps


async def test_others_follow_once_the_bus_has_been_alive_for_a_while_and_balance_what_the_former_gives():
    loop = await formed()
    alone_va = loop.plant.solve().port_va[:3].copy()
    assert alone_va.real == pytest.approx([7100, 4300, 3000])
    await loop.run(4)
    assert not loop.fleet.enabled.any()
    await loop.run(14)
    assert loop.fleet.enabled.tolist() == [False, True, True]
    given_va = loop.plant.solve().port_va
    assert np.ptp(given_va[:3].real) < 0.5 * np.ptp(alone_va.real), "the phases of the former are more even"
    assert given_va[:3].real.min() > 0
    assert not loop.mishaps
    loop.controller.leases.take(loop.controller.leases.active()[0].id, "ann")
    await loop.run(1)
    assert not loop.fleet.enabled.any(), "whoever followed is released with the former"
    assert not loop.cycle.dispatcher.in_force.any()
    assert not any(loop.forming)


async def test_followers_never_push_power_back_into_the_former():
    """A rack that trips while they inject: what they do is limited by what the former gives at the top of its bus."""
    loop = await formed()
    await loop.run(18)
    assert loop.fleet.enabled.tolist() == [False, True, True]
    loop.source.power_va = np.where([load.node == "rack1" for load in loop.site.twin.loads], 0, loop.source.power_va)
    for _ in range(8):
        await loop.run(1)
    assert loop.plant.solve().port_va[:3].real.min() >= -5
    assert loop.forming[0]


async def test_a_setpoint_by_hand_cannot_overload_the_former():
    loop = await formed()
    await loop.run(13)
    book = loop.controller.leases
    # 3.8 kW more on L1, where the former has 0.9 kVA left
    action = Setpoint((-3800, None, None))
    book.put(book.draft(LeaseSource.OPERATOR, "bob", "mim-rack2", action, seconds=60.0, reason="test"))
    await loop.run(8)
    assert loop.forming[0]
    assert np.abs(loop.plant.solve().port_va[:3]).max() <= 8000
    assert not loop.mishaps


async def test_nothing_forms_a_lost_bus_by_itself():
    loop = Island()
    await loop.run(3)
    loop.lose()
    await loop.run(20)
    assert not any(loop.forming)
    assert loop.fleet.formers.sequence.tolist() == [0, 0, 0]


async def test_everything_that_is_not_proven_is_said_at_once():
    loop = Island()
    await loop.run(3)
    said = "; ".join(loop.objections())
    for part in (
        "k is normal, not open",
        "voltage above k: 100% of nominal at feed",
        "pdu has 100%",
        "rack1 has",
        "holds a setpoint",
    ):
        assert part in said
    loop.ask()  # past the desk that would refuse it
    await loop.run(5)
    assert not any(loop.forming)
    assert loop.leases == []
    assert loop.fleet.formers.live_bus_commands.sum() == 0
    assert loop.fleet.enabled.all(), "nobody was disturbed"


@pytest.mark.parametrize("end", ["expiry", "revoked", "lock-out", "pause", "emergency stop"])
async def test_when_the_lease_ends_the_bus_is_dead_in_the_next_cycle(end):
    loop = await formed()
    book = loop.controller.leases
    if end == "expiry":
        book.take(book.active()[0].id, "ann")
        await loop.run(8)
        loop.ask(seconds=6.5)
        await loop.run(6)
        assert any(loop.forming)
        await loop.run(1)
    elif end == "revoked":
        book.take(book.active()[0].id, "bob")
    elif end == "emergency stop":
        book.call_stop("bob", "smoke")
        await loop.controller.release_now(Reason("interlock.emergency_stop", "stop"))
        assert not any(loop.forming), "at once, beside the cycles"
        book.take("stop", "bob")
    else:
        action, source = (LockOut(), LeaseSource.MAINTENANCE) if end == "lock-out" else (Pause(), LeaseSource.OPERATOR)
        scope, seconds = ("mim-rack1", None) if end == "lock-out" else ("z", 600.0)
        lease = book.draft(source, "bob", scope, action, seconds=seconds, reason="work")
        book.put(lease)
        book.take(lease.id, "bob")  # over before a cycle has seen it: the form lease is gone all the same
    await over(loop, "", within=1)


async def test_a_contactor_that_stops_telling_its_state_ends_it(monkeypatch):
    loop = await formed()

    async def silent(self):
        raise LinkTimeout("k", "nothing heard")

    monkeypatch.setattr(PlantTransfer, "read", silent)
    await loop.run(5)
    assert any(loop.forming), "what it said is fresh enough still"
    await loop.run(2)
    monkeypatch.undo()
    await over(loop, "k ", within=1)


async def test_a_contactor_that_only_says_that_it_is_open_deceives_nobody():
    loop = Island()
    await loop.run(3)
    loop.switch.told = TransferState.OPEN
    await loop.run(3)
    said = "; ".join(loop.objections())
    assert "not open" not in said
    assert "there is voltage above k" in said
    assert "pdu has 100% of nominal voltage" in said
    assert "flow through k, which says that it is open" in said
    loop.ask()
    await loop.run(3)
    assert loop.fleet.formers.live_bus_commands.sum() == 0
    assert loop.leases == []


async def test_a_lie_is_found_out_though_nothing_is_measured_above():
    site = island_site(rating_va=8000)
    loop = Island(replace(site, meters=tuple(m for m in site.meters if m.node != "feed")))
    await loop.run(3)
    loop.switch.told = TransferState.OPEN
    await loop.run(3)
    assert any("flow through k" in said for said in loop.objections())


async def test_a_contactor_that_closes_all_the_same_is_seen_in_the_next_cycle():
    """No controller can hinder a contactor that closes by hand. What it can do is to be gone at once, and to stay away."""
    loop = await formed()
    loop.plant.restore(loop.layout.node_index["feed"])
    loop.plant.switches.move(loop.switch, TransferState.NORMAL)
    assert len(loop.damages) == 1
    await loop.run(2)
    assert loop.leases == []
    assert "k is normal, not open" in loop.ended()
    await loop.run(14)
    assert not any(loop.forming)
    assert loop.fleet.enabled.all(), "on the grid they follow again"
    told = {event.code for event in (*loop.events.open(), *loop.events.recent())}
    assert "mim.ignores_setpoint" not in told, "what a former gives is nobody's setpoint"


async def test_the_grid_comes_back_and_everybody_follows_again_after_a_dead_time():
    loop = await formed()
    schedule(loop.plant, [])
    loop.plant.restore(loop.layout.node_index["feed"])  # the contactor waits for its own order
    await loop.run(1)
    assert not any(loop.forming)
    assert "voltage above k" in loop.ended()
    loop.plant.switches.regain(loop.switch, lambda seconds, action: None)
    assert loop.switch.state is TransferState.NORMAL
    await loop.run(8)
    assert not loop.fleet.enabled.any(), "not before it has been healthy for a while"
    await loop.run(6)
    assert loop.fleet.enabled.all()
    assert not loop.damages


async def reclosed(broken: str, back_s: float, *, waits_s: float) -> Island:
    """The grid returns at some moment of a cycle while something else is broken, and the contactor closes so much later."""
    loop = Island(island_site(rating_va=8000, reclose_s=waits_s, transfer_s=waits_s))
    await loop.run(2)
    schedule(loop.plant, [Fault(FaultKind.FEED_LOST, ("A",), loop.plant.t_s, loop.plant.t_s + 10 + back_s)])
    await loop.run(3)
    loop.ask()
    await loop.run(5)
    assert loop.forming[0]
    targets = {"the MIM's link": ("mim-rack1",), "every meter": ("m-feed", "m-pdu")}.get(broken)
    if targets is not None:
        schedule(loop.plant, [Fault(FaultKind.OFFLINE, targets, 11.0, 100.0)])
    await loop.run(3)
    if broken == "the controller":
        loop.plant.advance_to(33.0)
        loop.clock.advance_to(33.0)
    await loop.run(int(waits_s) + 2)
    assert not any(loop.forming)
    assert loop.switch.state is TransferState.NORMAL
    return loop


@pytest.mark.parametrize("broken", ["nothing", "the MIM's link", "the controller", "every meter"])
async def test_a_contactor_that_waits_as_long_as_the_check_demands_never_closes_on_a_formed_bus(broken):
    loop = await reclosed(broken, 0.1, waits_s=23.0)
    assert not loop.damages


async def test_and_one_that_waits_for_less_does():
    loop = await reclosed("the MIM's link", 0.1, waits_s=7.0)
    assert len(loop.damages) == 1


@pytest.mark.parametrize("arrives", [False, True])
async def test_a_command_whose_answer_is_lost_is_not_taken_for_granted(monkeypatch, arrives):
    loop = Island()
    await loop.run(3)
    loop.lose()
    await loop.run(3)
    true, lost = PlantMim.form, []

    async def form(self, command):
        if not lost:
            lost.append(command)
            if arrives:
                await true(self, command)
            raise LinkTimeout(self.device, "no answer")
        await true(self, command)

    monkeypatch.setattr(PlantMim, "form", form)
    loop.ask()
    await loop.run(1)
    assert loop.forming[0] is arrives
    assert loop.cycle.dispatcher.forms.holding[0], "from the attempt on it counts as forming"
    await loop.run(6)
    assert loop.forming[0]
    assert loop.volts() == pytest.approx(230)
    assert not loop.mishaps
    assert loop.fleet.formers.live_bus_commands.sum() == 0


async def test_a_device_that_never_begins_is_told_to_stop_and_the_lease_is_over(monkeypatch):
    loop = Island()
    await loop.run(3)
    loop.lose()
    await loop.run(3)
    monkeypatch.setattr(type(loop.fleet), "form", lambda *_: None)
    loop.ask()
    await over(loop, "does not form it", within=6)


async def test_a_former_out_of_reach_ends_by_itself_within_its_validity(monkeypatch):
    loop = await formed()
    schedule(loop.plant, [Fault(FaultKind.OFFLINE, ("mim-rack1",), loop.plant.t_s, loop.plant.t_s + 100)])
    await loop.run(11)
    assert not any(loop.forming)
    assert "does not tell its state" in loop.ended()
    assert not loop.damages


async def test_silence_of_the_controller_ends_it():
    loop = await formed()
    loop.plant.advance_to(loop.plant.t_s + 11)
    assert not any(loop.forming)


async def test_a_controller_that_starts_anew_ends_what_it_finds_and_resumes_nothing():
    loop = await formed()
    loop.events = EventLog(loop.clock)
    loop.group = PlantDriverGroup(loop.plant)
    loop.controller = build_site_controller(loop.site, [loop.group], loop.clock, loop.events, cycle_s=1.0)
    await over(loop, "", within=1)


async def test_overload_ends_it_and_nobody_tries_again():
    loop = await formed()
    loop.source.power_va = loop.source.power_va * 1.5
    await over(loop, "mim-rack1 does not form it", within=2)
    assert "overload" in loop.mishaps[0].text


async def test_its_storage_is_left_at_its_reserve():
    site = island_site(rating_va=8000, capacity_wh=2000.0)
    loop = await formed(site=replace(site, twin=replace(site.twin, battery_soc_pct=25.0)))
    # 100 Wh above the reserve of 20 %, 15 kW drawn
    await loop.run(25)
    assert not any(loop.forming)
    assert "at its reserve" in loop.ended()
    assert not loop.mishaps, "it ended in order, before it was empty"
    assert loop.fleet.soc_pct[0] == pytest.approx(20, abs=0.5)


async def test_two_on_one_bus_are_both_ended():
    loop = await formed()
    loop.fleet.formers.forming[1] = True  # by somebody else's hand, or by its own account
    await loop.run(1)
    assert not any(loop.forming)
    assert "mim-rack2 forms it" in loop.ended()


async def test_between_two_formers_the_bus_is_dead_for_a_while():
    loop = await formed()
    loop.controller.leases.take(loop.controller.leases.active()[0].id, "ann")
    await loop.run(2)
    assert any("5 s without voltage are needed" in said for said in loop.objections("mim-rack2"))
    await loop.run(5)
    loop.ask("mim-rack2")
    await loop.run(3)
    assert loop.forming == [False, True, False]
    assert not loop.damages


REQUEST = {
    "do": "grant",
    "kind": "form",
    "scope": "mim-rack1",
    "bus": "pdu",
    "seconds": 600,
    "reason": "feed A is out",
    "owner": "ann",
}


@dataclass(eq=False)
class Waiting:
    """The clock of somebody who waits: the site runs on meanwhile."""

    loop: Island

    def monotonic_s(self) -> float:
        return self.loop.clock.monotonic_s()

    def utc(self):
        return self.loop.clock.utc()

    async def sleep_until(self, monotonic_s: float) -> None:
        await self.loop.run(1)


async def asked(loop: Island, request: dict) -> dict:
    """What the service answers."""
    return await LeaseDesk(loop.controller, Waiting(loop)).answer(request)


async def test_the_service_refuses_in_one_line_with_everything_that_is_missing():
    loop = Island()
    await loop.run(3)
    with pytest.raises(UserError) as refused:
        await asked(loop, REQUEST)
    said = str(refused.value)
    assert said.startswith("mim-rack1 may not form the bus of pdu now: k is normal, not open; there is voltage above k")
    assert "\n" not in said
    assert loop.leases == []


async def test_the_service_grants_it_and_answers_when_the_bus_is_alive():
    loop = Island()
    await loop.run(3)
    loop.lose()
    await loop.run(3)
    told = await asked(loop, REQUEST)
    assert told["lease"]["text"] == "forms the bus of pdu"
    assert loop.volts() == pytest.approx(230)
    status = islands_status(loop.controller.zones[0])
    assert status["i1"] | {"lease": ""} == {
        "node": "pdu", "contactor": "k", "contactor_state": "open", "formed_by": "mim-rack1", "for": "ann", "lease": "",
    }  # fmt: skip
    with pytest.raises(UserError, match="pdu has one former: mim-rack1 forms it for ann"):
        await asked(loop, REQUEST | {"owner": "bob", "scope": "mim-rack2"})
    assert loop.forming == [True, False, False]


async def test_the_service_tells_that_nothing_came_of_it(monkeypatch):
    loop = Island()
    await loop.run(3)
    loop.lose()
    await loop.run(3)
    monkeypatch.setattr(type(loop.fleet), "form", lambda *_: None)
    with pytest.raises(UserError, match="does not form the bus of pdu: ended: mim-rack1 does not form it: it refused"):
        await asked(loop, REQUEST)


async def test_a_device_without_form_mode_is_refused_in_one_line(monkeypatch):
    loop = Island()
    await loop.run(3)
    loop.lose()
    loop.fleet.formers.able[0] = False
    await loop.run(3)
    with pytest.raises(UserError, match=r"bus of pdu now: mim-rack1 has no form mode, as far as it has told$"):
        await asked(loop, REQUEST)


def explained(loop: Island) -> str:
    """What is said of the MIM's last decision of which the answers are in."""
    question = Question("mim-rack1", None, loop.clock.utc())
    [case] = cases_of(loop.controller, question, latest=True)
    return str(answer(case, question))


async def test_explain_says_who_forms_and_why_it_ended():
    loop = await formed()
    loop.controller.leases.take(loop.controller.leases.active()[0].id, "ann")
    before = explained(loop)
    assert "sets voltage and frequency of its bus" in before
    assert "forms i1 at 230 V, 50 Hz by an operator's lease" in before
    assert "what its bus draws" in before
    await loop.run(2)
    assert "nobody's lease has it form a bus now" in explained(loop)


def test_a_feed_is_named_instead_of_its_head():
    assert at_its_node(island_site(), Form("A")) == Form("feed")
    assert at_its_node(island_site(), Form("pdu")) == Form("pdu")
