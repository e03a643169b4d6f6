"""A MIM over LoRaWAN and a sensor beside it: what only they do. What every driver owes its callers: `test_contract_drivers`."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest
from contract_lorawan import METER, MIM, Firmware, the_mim

from lorawan_air import EUI, air, throwaway, until
from mimctl.drivers.lorawan_device import LorawanDevice
from mimctl.drivers.lorawan_mim import LorawanMim
from mimctl.model.clock import SystemClock
from mimctl.model.errors import BadReply, LinkDown, LinkError, LinkTimeout, Unencodable
from mimctl.model.harmonics import HarmonicShare
from mimctl.model.lorawan import DownlinkState
from mimctl.model.protocols import HeldSetpoint, MimCommand, MimDriver, ProvesLate, Recall
from mimctl.model.reason import Reason

pytestmark = pytest.mark.bound_s(30)
WHY = Reason("contract", "the contract suite asks")
SENSOR = "70b3d57ed0000002"


@dataclass
class Bench:
    link: object
    bridge: object
    driver: LorawanMim
    firmware: Firmware

    async def state(self, wanted: DownlinkState) -> None:
        await until(lambda: (sent := self.bridge.downlinks(EUI).current) is not None and sent.state is wanted)

    async def reported(self, frame: int = 0):
        before = self.driver._sample
        self.firmware.report(frame)
        await until(lambda: self.driver._sample is not before)
        return await self.driver.read()


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return throwaway(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def bench(tmp_path, pki):
    """In JSON; the driver contract has the same device in protobuf."""
    async with air(tmp_path, pki) as link:
        firmware = Firmware(link)
        link.server.add(EUI, "mim1", firmware.take)
        bridge = link.bridge()
        driver = LorawanMim(the_mim(), bridge, MIM, SystemClock())
        await bridge.open()
        await until(lambda: bridge.connected)
        yield Bench(link, bridge, driver, firmware)
        await bridge.close()


def command(w=400.0, var=-60.0, validity_s=120.0, **more):
    return MimCommand((w, w - 10, w - 20), (var,) * 3, validity_s, WHY, **more)


async def test_before_the_first_report_reading_is_a_link_error_and_nothing_is_commanded(bench):
    with pytest.raises(LinkTimeout, match="not reported"):
        await bench.driver.read()
    with pytest.raises(LinkTimeout, match="not reported"):
        await bench.driver.apply(command())
    assert bench.link.server.enqueued == 0


async def test_until_the_device_tells_something_new_the_sample_is_the_same_object(bench):
    first = await bench.reported()
    assert await bench.driver.read() is first


async def test_a_short_report_leaves_what_it_does_not_carry_with_its_older_instant(bench):
    first = await bench.reported()
    bench.firmware.shown = {"active_power.port1": 500.0}
    second = await bench.reported(frame=1)
    assert second.get("active_power.port1") == 500.0
    assert second.get("voltage.port1") == pytest.approx(230.4)
    assert second.instant_s("voltage.port1") == first.taken_at_s < second.taken_at_s == second.instant_s("active_power.port1")


async def test_a_value_that_cannot_be_is_unknown_and_said_so(bench):
    bench.firmware.shown = {"temperature": 41.0}
    bench.link.server.uplink(EUI, 10, bytes([0x11]) + bytes(34) + bytes([201, 0]))
    await until(lambda: bench.driver._sample is not None)
    sample = await bench.driver.read()
    assert sample.get("soc") is None
    assert sample.reason is not None
    assert "soc" in sample.reason.text


async def test_a_payload_that_fits_no_layout_is_counted(bench):
    bench.link.server.uplink(EUI, 10, b"\x11")
    bench.link.server.uplink(EUI, 99, bytes(37))
    await until(lambda: bench.driver.unreadable == 2)
    with pytest.raises(LinkTimeout):
        await bench.driver.read()


async def test_a_command_is_taken_whole_and_only_its_echo_proves_it(bench):
    await bench.reported()
    bench.firmware.deaf = True
    held = await bench.driver.apply(command(w=400.7))
    assert held.inject_w == (400.0, 390.0, 380.0)
    await bench.state(DownlinkState.TXACK)
    assert bench.driver.held() is None
    bench.firmware.deaf = False
    await bench.driver.apply(command(w=400.7))
    await bench.state(DownlinkState.ECHOED)
    assert bench.firmware.setpoint == (400, -60, 390, -60, 380, -60)
    assert bench.firmware.validity_s == 120
    assert bench.driver.held() == held
    assert (await bench.driver.read()).get("sequence_ack") == bench.firmware.number


async def test_every_command_and_every_sign_of_life_has_a_new_number(bench):
    bench.firmware.number = 254
    await bench.reported()
    seen = []
    for ask in (lambda: bench.driver.apply(command()), bench.driver.refresh, bench.driver.refresh):
        await ask()
        await bench.state(DownlinkState.ECHOED)
        seen.append(bench.firmware.number)
    assert seen == [255, 1, 2]
    assert bench.firmware.setpoint[0] == 400


async def test_releasing_needs_no_report_and_no_broker(bench):
    bench.firmware.number = 7
    await bench.link.broker.stop()
    await until(lambda: not bench.bridge.connected)
    await bench.driver.release(WHY)
    await until(lambda: bench.firmware.number != 7)


@pytest.mark.parametrize(
    "wrong",
    [
        command(w=math.nan),
        command(w=40_000.0),
        command(validity_s=math.inf),
        command(validity_s=1e6),
        MimCommand((1.0,), (0.0,), 60.0, WHY),
    ],
)
async def test_a_setpoint_that_cannot_be_sent_sends_nothing(bench, wrong):
    await bench.reported()
    with pytest.raises(Unencodable):
        await bench.driver.apply(wrong)
    assert bench.link.server.enqueued == 0


async def test_harmonic_shares_cannot_be_sent(bench):
    await bench.reported()
    with pytest.raises(Unencodable, match="harmonic"):
        await bench.driver.apply(command(harmonics=(HarmonicShare(0.5, 3),) * 3))
    await bench.driver.apply(command(harmonics=(HarmonicShare(0.0, 0),) * 3))


async def test_a_lost_link_is_a_link_error_nothing_is_sent_and_it_comes_back_by_itself(bench):
    await bench.reported()
    await bench.link.broker.stop()
    await until(lambda: not bench.bridge.connected)
    for ask in (bench.driver.read, lambda: bench.driver.apply(command())):
        with pytest.raises(LinkDown):
            await ask()
    assert bench.link.server.enqueued == 0
    await bench.link.broker.start()
    await until(lambda: bench.bridge.connected)
    await bench.reported()
    await bench.driver.apply(command())
    await bench.state(DownlinkState.ECHOED)


async def test_a_setpoint_that_did_not_arrive_is_not_kept_alive(bench):
    await bench.reported()
    bench.link.server.gateway_error = "DUTY_CYCLE_OVERFLOW"
    await bench.driver.apply(command())
    await bench.state(DownlinkState.GATEWAY_ERROR)
    with pytest.raises(BadReply, match="DUTY_CYCLE_OVERFLOW"):
        await bench.driver.refresh()
    bench.link.server.gateway_error = None


async def test_a_restart_is_noticed_and_nothing_of_ours_is_kept_alive(bench):
    await bench.reported()
    await bench.driver.apply(command())
    await bench.state(DownlinkState.ECHOED)
    bench.firmware.number, bench.firmware.setpoint = 0, (0.0,) * 6
    await bench.reported()
    lost = bench.driver.foreign_write
    assert lost is not None
    assert lost.idle
    assert not lost.sure
    with pytest.raises(LinkError):
        await bench.driver.refresh()
    await bench.driver.apply(command())
    assert bench.driver.foreign_write is None


async def test_somebody_else_who_commands_it_is_noticed(bench):
    await bench.reported()
    await bench.driver.apply(command())
    await bench.state(DownlinkState.ECHOED)
    bench.firmware.number += 40
    await bench.reported()
    assert bench.driver.foreign_write is not None
    assert bench.driver.foreign_write.sure


async def test_a_setpoint_that_ran_out_is_noticed(bench):
    await bench.reported()
    await bench.driver.apply(command())
    await bench.state(DownlinkState.ECHOED)
    bench.firmware.status = 3
    await bench.reported()
    assert bench.driver.foreign_write is not None
    assert bench.driver.held() is None


async def test_an_echo_of_the_one_before_is_no_loss(bench):
    await bench.reported()
    await bench.driver.apply(command())
    await bench.state(DownlinkState.ECHOED)
    bench.firmware.deaf = True
    await bench.driver.apply(command(w=100.0))
    await bench.reported()
    assert bench.driver.foreign_write is None


async def test_a_new_controller_asks_what_is_held_and_goes_on_from_the_number_in_force(bench):
    await bench.reported()
    await bench.driver.apply(command())
    await bench.state(DownlinkState.ECHOED)
    number = bench.firmware.number
    bench.driver = LorawanMim(the_mim(), bench.bridge, MIM, SystemClock())
    await bench.reported()
    assert bench.driver.recall in (Recall.ASKED, Recall.SETTLED)  # the answer may be there
    await until(lambda: bench.driver.recall is Recall.SETTLED)
    assert bench.driver.held() == HeldSetpoint((400.0, 390.0, 380.0), (-60.0,) * 3)
    assert (await bench.driver.read()).get("watchdog_remaining") == 120
    assert bench.firmware.number == number  # the question changed nothing
    await bench.driver.apply(command())
    await until(lambda: bench.firmware.number == number + 1)


async def test_a_sensor_of_another_make_needs_no_code(bench):
    bench.link.server.add(SENSOR, "sensor", lambda port, payload: False)
    sensor = LorawanDevice("m1", SENSOR, bench.bridge, METER, SystemClock())
    vector = METER.vectors[0]
    bench.link.server.uplink(SENSOR, vector.port, vector.payload)
    bench.link.server.uplink(SENSOR, METER.vectors[1].port, METER.vectors[1].payload)
    await until(lambda: sensor._sample is not None and sensor._sample.get("energy_import.total") is not None)
    sample = await sensor.read()
    expected = dict(vector.expect) | dict(METER.vectors[1].expect)
    assert {key: sample.get(key) for key in expected} == pytest.approx(expected)
    assert not isinstance(sensor, MimDriver)


async def test_the_frequency_is_relative_to_that_of_the_site(bench):
    bench.driver = LorawanMim(the_mim(), bench.bridge, MIM, SystemClock(), nominal_hz=60.0)
    sample = await bench.reported()
    assert sample.get("frequency") == pytest.approx(60.0)


def test_a_profile_without_setpoints_makes_no_mim():
    with pytest.raises(ValueError, match="no setpoint"):
        LorawanMim(the_mim(), type("Bridge", (), {"watch": lambda *_: None})(), replace(MIM, setpoint=None), SystemClock())


async def test_a_release_is_proven_by_its_echo_alone(bench):
    await bench.reported()
    assert isinstance(bench.driver, ProvesLate)
    await bench.driver.apply(command())
    await bench.state(DownlinkState.ECHOED)
    bench.firmware.deaf = True
    await bench.driver.release(WHY)
    await bench.state(DownlinkState.TXACK)
    await bench.reported()
    assert not bench.driver.release_proven  # it still shows the number of the setpoint
    bench.firmware.deaf = False
    await bench.driver.release(WHY)
    await bench.state(DownlinkState.ECHOED)
    assert bench.driver.release_proven
    await bench.driver.apply(command())
    await bench.state(DownlinkState.ECHOED)
    bench.firmware.deaf = True
    await bench.driver.release(WHY)
    assert not bench.driver.release_proven


async def test_a_release_that_was_sent_again_is_proven_by_the_echo_of_the_first(bench):
    await bench.reported()
    await bench.driver.apply(command())
    await bench.state(DownlinkState.ECHOED)
    bench.firmware.deaf = True
    await bench.driver.release(WHY)
    first = bench.bridge.downlinks(EUI).current.sequence
    await bench.driver.release(WHY)
    bench.firmware.number = first
    await bench.reported()
    assert bench.driver.release_proven


async def test_a_device_that_restarts_right_after_a_release_may_still_hear_the_setpoint_before_it(bench):
    await bench.reported()
    await bench.driver.apply(command())
    await bench.state(DownlinkState.ECHOED)
    bench.firmware.deaf = True
    await bench.driver.release(WHY)
    bench.firmware.number = 0
    await bench.reported()
    assert not bench.driver.release_proven
