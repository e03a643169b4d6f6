"""Form mode asked of the service, and what it tells of it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from tests.island_site import island_site
from tests.loop.island_loop import Island, formed

from mimctl.control.explain.answer import answer
from mimctl.control.explain.case import Question
from mimctl.control.explain.find import cases_of
from mimctl.model.errors import UserError
from mimctl.model.lease import Form
from mimctl.service.form_desk import at_its_node, islands_status
from mimctl.service.lease_desk import LeaseDesk

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
