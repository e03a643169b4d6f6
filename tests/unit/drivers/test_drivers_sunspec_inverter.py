"""SunSpec inverters driven as MIMs with one port: 704, 123 and 124, values and reversion first, enable last."""

import struct
from datetime import UTC, datetime

import pytest

from fake_mim import mim
from mimctl.drivers.discovery import SunSpecSource
from mimctl.drivers.register_mim import RegisterMim
from mimctl.model.clock import VirtualClock
from mimctl.model.errors import BadReply, Unencodable
from mimctl.model.profile import DeviceClass
from mimctl.model.protocols import MimCommand
from mimctl.model.reason import Reason
from mimctl.model.setpoints import Failsafe
from mimctl.model.site import ExpiryAction
from mimctl.wire.memory import MemoryBank, MemoryTransport
from mimctl.wire.sunspec_image import ModelContent, build_chain

WHY = Reason("test", "because")
DER = {
    "WSetEna": 0, "WSetMod": 0, "WSet": 0, "WSetRvrt": 500, "WSetEnaRvrt": 0, "WSetRvrtTms": 0, "WSet_SF": 1,
    "VarSetEna": 0, "VarSetMod": 0, "VarSet": 0, "VarSetRvrt": 0, "VarSetRvrtTms": 0, "VarSet_SF": 0,
}  # fmt: skip
RATINGS = {"WMaxRtg": 5000, "WChaRteMaxRtg": 4000, "WDisChaRteMaxRtg": 5000, "VarMaxInjRtg": 3000, "VarMaxAbsRtg": 3000,
           "W_SF": 0, "Var_SF": 0}  # fmt: skip
MEASURED = {"W": 1200, "W_SF": 0, "Var": -100, "Var_SF": 0, "InvSt": 3}


def device(*contents, **more):
    """A driver, its registers, and where each model stands."""
    image, chain = build_chain([ModelContent(1, {"Mn": "ACME"}), *contents])
    bank = MemoryBank(40000, image)
    transport = MemoryTransport("gw", {1: bank})
    clock = VirtualClock(datetime(2026, 1, 5, tzinfo=UTC), monotonic_s=100.0)
    driver = RegisterMim(mim(1, **more), transport, source=SunSpecSource(DeviceClass.MIM), clock=clock)
    return driver, transport, bank, {m.id: m.address for m in chain.models}


def der(*more, ratings=True, **changes):
    models = [ModelContent(701, MEASURED)]
    if ratings:
        models.append(ModelContent(702, RATINGS))
    return device(*models, ModelContent(704, DER | changes), *more)


def command(w, var=0.0, validity_s=30.0):
    return MimCommand((w,), (var,), validity_s, WHY)


def written(transport, start):
    return [(a - start, n) for kind, _, a, n in transport.log if kind == "write"]


def register(bank, address, code="H"):
    return struct.unpack(">" + code, bank.read(address, struct.calcsize(">" + code) // 2))[0]


async def test_its_power_and_what_it_is_told_are_at_its_one_port():
    driver, transport, *_ = der()
    sample = await driver.read()
    assert sample.get("active_power.port1") == 1200
    assert sample.get("reactive_power.port1") == -100
    assert sample.get("setpoint_active_power.port1") == 0
    assert [kind for kind, *_ in transport.log if kind == "write"] == []
    assert driver.mim_map.failsafe is Failsafe.REVERSION


async def test_704_gets_values_and_reversion_first_and_the_enables_last():
    driver, transport, bank, at = der()
    await driver.apply(command(-1500.0, 200.0))
    start = at[704]
    assert (register(bank, start + 24, "i"), register(bank, start + 26, "i")) == (-150, 0)
    assert (register(bank, start + 22), register(bank, start + 23), register(bank, start + 30)) == (1, 1, 1)
    assert (register(bank, start + 31, "I"), register(bank, start + 45, "I")) == (30, 30)
    assert (register(bank, start + 35), register(bank, start + 36), register(bank, start + 38, "i")) == (1, 4, 200)
    order = [offset for offset, _ in written(transport, start)]
    assert order[-2:] == [22, 35]
    assert {26, 30, 24, 45, 38} <= set(order[:-2])  # 30 carries the timer in 31 along


async def test_a_second_command_writes_the_timers_and_the_values():
    """However often the setpoint changes: a timer that starts again when it is written, and not before, never runs out."""
    driver, transport, bank, at = der()
    await driver.apply(command(1000.0))
    for watts in (1100.0, 1200.0, 1300.0):
        transport.log.clear()
        await driver.apply(command(watts))
        assert written(transport, at[704]) == [(31, 2), (45, 2), (24, 2), (38, 2)]
        assert register(bank, at[704] + 31, "I") == 30


async def test_refreshing_restarts_the_reversion_timers_and_beats():
    driver, transport, bank, at = der(ModelContent(715, {"LocRemCtl": 0, "DERHb": 5, "ControllerHb": 7, "OpCtl": 1}))
    await driver.apply(command(1000.0))
    beat = register(bank, at[715] + 5, "I")
    transport.log.clear()
    await driver.refresh()
    start = at[704]
    assert set(written(transport, start)) == {(24, 2), (31, 2), (38, 2), (45, 2), (at[715] + 5 - start, 2)}
    assert register(bank, at[715] + 5, "I") == beat + 1


@pytest.mark.parametrize("register_of", [22, 35])
async def test_an_enable_that_is_switched_off_is_seen_and_never_refreshed_over(register_of):
    """By its own timer or by somebody else: the setpoints still read as ours, and nothing of them is in force."""
    driver, _, bank, at = der()
    await driver.apply(command(1000.0, 100.0))
    await driver.read()
    bank.write(at[704] + register_of, bytes(2))
    await driver.read()
    assert driver.held() is None
    with pytest.raises(BadReply, match="another command is in force"):
        await driver.refresh()
    held = await driver.apply(command(1000.0, 100.0))
    assert not held.kept
    assert (register(bank, at[704] + 22), register(bank, at[704] + 35)) == (1, 1)
    await driver.refresh()


async def test_the_timer_is_never_zero_and_revert_leaves_the_reversion_value_alone():
    driver, _, bank, at = der()
    driver, _, bank, at = device(
        ModelContent(701, MEASURED), ModelContent(704, DER), expiry_action=ExpiryAction.REVERT, validity_s=5.0
    )
    await driver.apply(command(100.0, validity_s=0.2))
    assert register(bank, at[704] + 31, "I") == 1
    assert register(bank, at[704] + 30) == 0


async def test_an_expiry_action_that_the_device_lacks_is_refused():
    driver, transport, _, at = device(ModelContent(701, MEASURED), ModelContent(704, DER), expiry_action=ExpiryAction.HOLD)
    with pytest.raises(Unencodable, match="'hold' cannot be set"):
        await driver.apply(command(100.0))
    assert written(transport, at[704]) == []


@pytest.mark.parametrize(("w", "var"), [(5001.0, 0.0), (-4001.0, 0.0), (0.0, 3100.0)])
async def test_what_is_over_the_ratings_is_refused(w, var):
    driver, transport, _, at = der()
    with pytest.raises(Unencodable):
        await driver.apply(command(w, var))
    assert written(transport, at[704]) == []


async def test_an_inverter_that_cannot_charge_is_never_told_to():
    ratings = {k: v for k, v in RATINGS.items() if "Cha" not in k}
    driver, *_ = device(ModelContent(701, MEASURED), ModelContent(702, ratings), ModelContent(704, DER))
    with pytest.raises(Unencodable, match="under its minimum"):
        await driver.apply(command(-10.0))


async def test_vars_that_it_does_not_have_are_refused_and_zero_is_not():
    without = {k: v for k, v in DER.items() if not k.startswith("Var")}
    driver, _, bank, at = device(ModelContent(701, MEASURED), ModelContent(704, without))
    with pytest.raises(Unencodable, match="no reactive power"):
        await driver.apply(command(100.0, 50.0))
    await driver.apply(command(100.0, 1e-6))
    assert register(bank, at[704] + 24, "i") == 10
    assert driver.mim_map.setpoint_var == (None,)


async def test_releasing_is_zero_and_disabled():
    driver, transport, bank, at = der()
    await driver.apply(command(1000.0, 100.0))
    transport.log.clear()
    await driver.release(WHY)
    assert (register(bank, at[704] + 24, "i"), register(bank, at[704] + 22), register(bank, at[704] + 35)) == (0, 0, 0)


async def test_124_is_a_window_from_the_setpoint_to_itself():
    """OutWRte and InWRte of ±40 % of 5 kW: the storage discharges at 2 kW, no more and no less."""
    storage = {"WChaMax": 5000, "WChaMax_SF": 0, "StorCtl_Mod": 0, "OutWRte": 100, "InWRte": 100, "InOutWRte_SF": -1,
               "InOutWRte_RvrtTms": 0, "ChaState": 80, "ChaState_SF": 0}  # fmt: skip
    driver, transport, bank, at = device(ModelContent(103, {"W": 0, "W_SF": 0}), ModelContent(124, storage))
    sample = await driver.read()
    assert sample.get("soc") == 80
    await driver.apply(command(2000.0))
    start = at[124]
    assert (register(bank, start + 12, "h"), register(bank, start + 13, "h")) == (400, -400)
    assert (register(bank, start + 5), register(bank, start + 15)) == (3, 30)
    assert written(transport, start) == [(15, 1), (12, 2), (5, 1)]
    await driver.apply(command(-500.0))
    assert (register(bank, start + 12, "h"), register(bank, start + 13, "h")) == (-100, 100)
    assert driver.mim_map.silent_action is ExpiryAction.REVERT


async def test_123_limits_power_in_percent_of_121_and_cannot_absorb():
    controls = {"WMaxLimPct": 1000, "WMaxLimPct_SF": -1, "WMaxLimPct_RvrtTms": 0, "WMaxLim_Ena": 0}
    ratings = ModelContent(121, {"WMax": 8000, "WMax_SF": 1})
    driver, _, bank, at = device(ModelContent(103, {"W": 0, "W_SF": 0}), ratings, ModelContent(123, controls))
    await driver.apply(command(2000.0))
    assert (register(bank, at[123] + 5), register(bank, at[123] + 7), register(bank, at[123] + 9)) == (250, 30, 1)
    with pytest.raises(Unencodable, match="under its minimum"):
        await driver.apply(command(-100.0))


async def test_without_timer_and_heartbeat_there_is_no_failsafe():
    controls = {"WMaxLimPct": 1000, "WMaxLimPct_SF": -1, "WMaxLim_Ena": 0}
    ratings = ModelContent(121, {"WMax": 8000, "WMax_SF": 1})
    driver, *_ = device(ModelContent(103, {"W": 0, "W_SF": 0}), ratings, ModelContent(123, controls))
    await driver.read()
    assert driver.mim_map.failsafe is Failsafe.NONE
    assert "sunspec.no_failsafe" in [code for code, _ in driver.discovered.warnings]


async def test_an_inverter_without_controls_is_no_mim():
    driver, *_ = device(ModelContent(103, {"W": 0, "W_SF": 0}))
    with pytest.raises(BadReply, match="without controls"):
        await driver.read()
