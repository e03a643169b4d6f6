"""What profiles make of devices that tell their own register map: signs, preferences, further points, refusals, commands."""

import struct
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from fake_mim import mim
from mimctl.config.profiles.registers_profile import find_profile, load_profile
from mimctl.drivers.discovery import SunSpecSource
from mimctl.drivers.dump_reading import read_dump
from mimctl.drivers.identify import match_profile
from mimctl.drivers.register_device import RegisterDevice
from mimctl.drivers.register_mim import RegisterMim
from mimctl.drivers.registry import source_of
from mimctl.drivers.survey import take_dump
from mimctl.model.address import DeviceAddress
from mimctl.model.chain import ChainPoint
from mimctl.model.clock import VirtualClock
from mimctl.model.errors import BadReply, Unencodable, UserError
from mimctl.model.profile import DeviceClass
from mimctl.model.protocols import MimCommand
from mimctl.model.reason import Reason
from mimctl.wire.dump import RegisterDump, blocks_of
from mimctl.wire.golden import check_vectors
from mimctl.wire.memory import MemoryBank, MemoryTransport
from mimctl.wire.recorder import Recorder
from mimctl.wire.sunspec_device import wanted_class
from mimctl.wire.sunspec_image import ModelContent, build_chain

WHY = Reason("test", "because")
MEASURED = {"W": 1650, "W_SF": 0, "VAr": -120, "VAr_SF": 0, "PhVphA": 230, "V_SF": 0, "Hz": 50, "Hz_SF": 0, "WH": 5, "WH_SF": 0}
METERED = {"W": 2500, "WphA": 900, "W_SF": 0, "VAR": 40, "VAR_SF": 0, "AphA": 4, "A_SF": 0, "TotWhExpPhA": 7, "TotWhExp": 9,
           "TotWh_SF": 0}  # fmt: skip
STORAGE = {"WChaMax": 5000, "WChaMax_SF": 0, "StorCtl_Mod": 0, "OutWRte": 100, "InWRte": 100, "InOutWRte_SF": -1,
           "InOutWRte_RvrtTms": 0, "ChaState": 80, "ChaState_SF": 0}  # fmt: skip
CONTROLS = {"WMaxLimPct": 100, "WMaxLimPct_SF": 0, "WMaxLimPct_RvrtTms": 0, "WMaxLim_Ena": 0}
RATINGS = {"WMax": 5000, "WMax_SF": 0}


class Noting(MemoryTransport):
    """A transport that remembers by which function it was written to."""

    def __init__(self, *args):
        super().__init__(*args)
        self.functions = []

    async def write(self, unit, address, data, *, function=16):
        self.functions.append((address, len(data) // 2, function))
        await super().write(unit, address, data, function=function)


def profile(name):
    path = find_profile(name)
    assert path is not None
    return load_profile(path)


def bench(name, *contents, maker="ACME", wanted=None, **changes):
    """A device of this chain, read with a profile; and its transport and registers."""
    image, chain = build_chain([ModelContent(1, {"Mn": maker}), *contents])
    bank = MemoryBank(40000, image)
    transport = Noting("gw", {1: bank})
    clock = VirtualClock(datetime(2026, 1, 5, tzinfo=UTC), monotonic_s=100.0)
    chosen = profile(name)
    if changes:
        chosen = replace(chosen, chain=replace(chosen.chain, **changes))
    source = SunSpecSource(wanted or wanted_class(chosen), profile=chosen)
    if wanted is DeviceClass.MIM:
        return RegisterMim(mim(1), transport, source=source, clock=clock), transport, bank, {m.id: m.address for m in chain.models}
    return RegisterDevice("d", transport, 1, source=source, clock=clock), transport, bank, {m.id: m.address for m in chain.models}


async def sample_of(name, *contents, **more):
    return await bench(name, *contents, **more)[0].read()


async def test_a_meter_that_counts_export_positive_is_turned_and_its_currents_are_not():
    sample = await sample_of("solaredge/meter", ModelContent(203, METERED), maker="SolarEdge ")
    assert (sample.get("active_power.total"), sample.get("active_power.L1")) == (-2500, -900)
    assert sample.get("current.L1") == 4
    assert sample.get("energy_export.total") == 9


async def test_what_is_not_to_be_believed_is_not_even_a_key():
    sample = await sample_of("solaredge/meter", ModelContent(203, METERED), maker="SolarEdge")
    assert not [k for k in sample.keys if k.startswith("reactive_power")]
    assert "energy_export.L1" not in sample.keys


async def test_the_makers_name_decides_and_case_does_not():
    await sample_of("fronius/gen24", ModelContent(103, MEASURED), maker="FRONIUS")
    with pytest.raises(BadReply, match=r"unit 1 is no fronius/gen24: its manufacturer is 'ACME', 'Fronius\*' was expected"):
        await sample_of("fronius/gen24", ModelContent(103, MEASURED))


async def test_a_meter_of_another_make_passes_by_the_name_at_the_head_of_the_chain():
    behind = [ModelContent(103, MEASURED), ModelContent(1, {"Mn": "WattNode"}), ModelContent(203, METERED)]
    assert (await sample_of("solaredge/meter", *behind, maker="SolarEdge")).get("active_power.total") == -2500
    with pytest.raises(BadReply, match="its manufacturer is 'WattNode'"):
        await sample_of("solaredge/meter", *behind, maker="ACME")


async def test_a_maker_that_does_not_say_who_it_is_is_warned_of():
    driver, *_ = bench("fronius/gen24", ModelContent(103, MEASURED), maker="")
    await driver.read()
    assert "profile.unconfirmed" in [code for code, _ in driver.discovered.warnings]


async def test_a_device_without_the_models_is_refused_with_those_that_it_has():
    with pytest.raises(BadReply, match="is no sunspec/der_7xx, which measures with model 701: its SunSpec models are 1, 103"):
        await sample_of("sunspec/der_7xx", ModelContent(103, MEASURED))


@pytest.mark.parametrize("order", [(103, 113), (113, 103)])
async def test_the_better_of_two_models_counts_wherever_it_stands(order):
    contents = {103: ModelContent(103, MEASURED), 113: ModelContent(113, {"W": 1650.5})}
    sample = await sample_of("sunspec/inverter_1xx", *(contents[n] for n in order))
    assert sample.get("active_power.total") == 1650.5


async def test_a_measuring_model_that_the_profile_does_not_name_is_left_alone():
    more = ModelContent(701, {"W": 3, "WL2": 3, "W_SF": 0})
    sample = await sample_of("sunspec/inverter_1xx", more, ModelContent(103, MEASURED))
    assert sample.get("active_power.total") == 1650
    assert "active_power.L2" not in sample.keys


async def test_zero_at_night_is_no_value_where_the_profile_says_so():
    night = MEASURED | {"PhVphA": 0, "Hz": 0, "W": 0}
    fronius = await sample_of("fronius/gen24", ModelContent(103, night), maker="Fronius")
    assert (fronius.get("voltage.L1"), fronius.get("frequency"), fronius.get("active_power.total")) == (None, None, 0)
    other = await sample_of("sunspec/inverter_1xx", ModelContent(103, night))
    assert (other.get("voltage.L1"), other.get("frequency")) == (0, 0)


async def test_an_ignored_model_is_left_alone():
    driver, transport, _, at = bench(
        "sunspec/inverter_1xx", ModelContent(103, MEASURED), ModelContent(124, STORAGE), ignored=(124,)
    )
    assert (await driver.read()).get("soc") is None
    assert not [a for _, _, a, n in transport.log[-2:] if a <= at[124] + 8 < a + n]


async def test_a_point_of_a_model_takes_the_place_of_the_usual_one_with_its_own_sign_and_sentinels():
    points = (ChainPoint("active_power.total", 103, "VA", sign=-1, sentinels=(7.0,)),)
    shown = MEASURED | {"VA": 900, "VA_SF": 0}
    assert (await sample_of("sunspec/inverter_1xx", ModelContent(103, shown), points=points)).get("active_power.total") == -900
    shown["VA"] = 7
    assert (await sample_of("sunspec/inverter_1xx", ModelContent(103, shown), points=points)).get("active_power.total") is None


async def test_registers_beside_the_chain_are_read_with_it():
    driver, transport, *_ = bench("solaredge/storedge", ModelContent(103, MEASURED), maker="SolarEdge")
    battery = bytearray(2 * 40)
    battery[0:4] = struct.pack(">HH", 0x8000, 0x44BB)  # 1500.0, low word first
    battery[32:36] = struct.pack(">HH", 0, 0x4276)
    own, chain = MemoryBank(57716, battery), transport.units[1]

    class Both:
        def read(self, address, count):
            return (own if address >= 57716 else chain).read(address, count)

    transport.units[1] = Both()
    sample = await driver.read()
    assert (sample.get("battery_power"), sample.get("soc"), sample.get("active_power.total")) == (-1500, 61.5, 1650)
    assert driver.discovered.compiled.register_map.device_class is DeviceClass.ESS


async def test_a_profile_that_names_no_commands_is_not_commanded():
    driver, *_ = bench(
        "sma/sunspec",
        ModelContent(103, MEASURED),
        ModelContent(121, RATINGS),
        ModelContent(123, CONTROLS),
        maker="SMA",
        wanted=DeviceClass.MIM,
    )
    with pytest.raises(BadReply, match="without controls"):
        await driver.read()


async def test_a_mim_is_never_taken_for_an_inverter_of_a_profile():
    """It may have model 701 beside its own: commanded by 704 it would have two masters."""
    der = ModelContent(701, {"W": 3, "W_SF": 0})
    image, _ = build_chain(
        [ModelContent(1, {"Mn": "ACME"}), der, ModelContent(64900, counts={"NPh": 3}), ModelContent(64901, counts={"NPh": 3})]
    )
    chosen = profile("sunspec/der_7xx")
    transport = MemoryTransport("gw", {1: MemoryBank(40000, image)})
    source = SunSpecSource(DeviceClass.MIM, profile=chosen)
    with pytest.raises(BadReply, match="is no sunspec/der_7xx"):
        await source.discover(transport, 1, "d")


async def test_a_model_that_refuses_function_16_gets_one_register_at_a_time():
    """The limit, its timer and its enable, and none of them in one frame with another."""
    driver, transport, bank, at = bench(
        "kostal/plenticore_sunspec",
        ModelContent(103, MEASURED), ModelContent(121, RATINGS), ModelContent(123, CONTROLS),
        maker="KOSTAL", wanted=DeviceClass.MIM,
    )  # fmt: skip
    await driver.apply(MimCommand((2000.0,), (0.0,), 30.0, WHY))
    assert transport.functions == [(at[123] + 7, 1, 6), (at[123] + 5, 1, 6), (at[123] + 9, 1, 6)]
    assert struct.unpack(">H", bank.read(at[123] + 5, 1)) == (40,)
    with pytest.raises(Unencodable):
        await driver.apply(MimCommand((-100.0,), (0.0,), 30.0, WHY))


async def test_storage_is_commanded_as_a_window_and_its_battery_is_seen_beside_it():
    trackers = {f"module[{n}].DCW": w for n, w in enumerate((1720, 0, 1500, 0))}
    trackers |= {f"module[{n}].ID": n + 1 for n in range(4)} | {"DCW_SF": 0}
    driver, _, bank, at = bench(
        "fronius/gen24",
        ModelContent(103, MEASURED), ModelContent(124, STORAGE), ModelContent(160, trackers, {"N": 4}, length=88),
        maker="Fronius", wanted=DeviceClass.MIM,
    )  # fmt: skip
    sample = await driver.read()
    assert (sample.get("active_power.port1"), sample.get("battery_power"), sample.get("soc")) == (1650, -1500, 80)
    await driver.apply(MimCommand((2000.0,), (0.0,), 30.0, WHY))
    assert struct.unpack(">hh", bank.read(at[124] + 12, 2)) == (400, -400)


async def test_a_dump_is_read_with_the_rules_of_a_profile_and_taken_under_its_name():
    driver, transport, *_ = bench("solaredge/meter", ModelContent(103, MEASURED), ModelContent(203, METERED), maker="SolarEdge")
    recorder = Recorder(transport)
    taken = await take_dump(driver.over(recorder), recorder, 1, driver.source, utc=datetime(2026, 1, 5, tzinfo=UTC))
    assert taken.profile == "solaredge/meter"
    clock = VirtualClock(datetime(2026, 1, 5, tzinfo=UTC))
    [reading] = await read_dump(taken, clock, profile=profile("solaredge/meter"), every_point=True)
    values = {p.point: p.value for p in reading.points}
    assert (reading.map, reading.device_class) == ("solaredge/meter", "meter")
    assert (values["active_power.total"], values["model203.W"]) == (-2500, 2500)
    [other] = await read_dump(taken, clock, profile=profile("solaredge/inverter"))
    assert {p.point: p.value for p in other.points}["active_power.total"] == 1650
    with pytest.raises(BadReply, match="is no sunspec/der_7xx"):
        await read_dump(taken, clock, profile=profile("sunspec/der_7xx"))
    with pytest.raises(UserError, match="holds no SunSpec chain"):
        await read_dump(RegisterDump(blocks_of({(1, 3): {7: 1}})), clock, profile=profile("solaredge/meter"))


async def test_units_of_a_dump_that_are_other_devices_are_passed_over_and_named():
    def words(*contents):
        image, _ = build_chain([ModelContent(1, {"Mn": "Fronius"}), *contents])
        return dict(enumerate(struct.unpack(f">{len(image) // 2}H", image), 40000))

    gateway = RegisterDump(blocks_of({(1, 3): words(ModelContent(103, MEASURED)), (200, 3): words(ModelContent(203, METERED))}))
    clock = VirtualClock(datetime(2026, 1, 5, tzinfo=UTC))
    [meter] = await read_dump(gateway, clock, profile=profile("fronius/smart_meter"))
    assert (meter.unit, meter.device_class) == (200, "meter")
    assert "unit 1 is no fronius/smart_meter" in dict(meter.warnings)["dump.unit_passed_over"]
    with pytest.raises(BadReply, match="unit 1 is no fronius/smart_meter"):
        await read_dump(gateway, clock, profile=profile("fronius/smart_meter"), units=[1])


async def test_a_dump_holds_what_stands_beside_the_chain_too():
    driver, transport, *_ = bench("solaredge/storedge", ModelContent(103, MEASURED), maker="SolarEdge")
    chain, own = transport.units[1], MemoryBank(57716, bytearray(range(80)))

    class Both:
        def read(self, address, count):
            return (own if address >= 57716 else chain).read(address, count)

    transport.units[1] = Both()
    recorder = Recorder(transport)
    taken = await take_dump(driver.over(recorder), recorder, 1, driver.source, utc=datetime(2026, 1, 5, tzinfo=UTC))
    known = taken.words()[1, 3]
    assert (known[57716], known[57717], known[57733]) == (0x0001, 0x0203, 0x2223)
    assert known[40000] == 0x5375


async def test_a_device_is_recognised_by_its_chain():
    _, transport, *_ = bench("fronius/gen24", ModelContent(103, MEASURED), maker="Fronius")
    found = {n: await match_profile(transport, 1, profile(n)) for n in ("fronius/gen24", "sunspec/inverter_1xx", "sma/sunspec")}
    assert [(m.refuted == (), m.confirmed, m.hints) for m in found.values()] == [(True, 1, 1), (True, 0, 1), (False, 0, 1)]
    assert (await match_profile(transport, 1, profile("fronius/smart_meter"))).refuted == ("its SunSpec models are 1, 103",)
    transport.units[1] = MemoryBank(40000, bytearray(8))
    assert "no SunSpec mark" in (await match_profile(transport, 1, profile("fronius/gen24"))).refuted[0]


def test_a_site_that_names_such_a_profile_gets_the_chain_with_its_rules():
    chosen = profile("solaredge/meter")
    source = source_of(DeviceAddress("gw", 1, chosen.id, base=50000), DeviceClass.METER, {chosen.id: chosen}, 60)
    assert (source.name, source.wanted, source.base, source.max_registers) == ("solaredge/meter", DeviceClass.METER, 50000, 60)
    fronius = profile("fronius/gen24")
    address = DeviceAddress("gw", 1, fronius.id)
    assert source_of(address, DeviceClass.MIM, {fronius.id: fronius}, 125).wanted is DeviceClass.MIM
    assert source_of(address, DeviceClass.METER, {fronius.id: fronius}, 125).wanted is DeviceClass.INVERTER


def test_a_wrong_golden_value_and_a_broken_chain_are_named():
    good = profile("sunspec/meter_2xx")
    vector = good.vectors[0]
    wrong = replace(vector, expect=(("active_power.total", 1.0),))
    broken = replace(vector, image=((40000, b"SunX"),))
    found = check_vectors(replace(good, vectors=(wrong, broken)))
    assert [(p.path, p.message.partition(": ")[2]) for p in found] == [
        ("tests[0].expect.active_power.total", "gives 1370, expected 1"),
        ("tests[1]", "unit 1 has no SunSpec mark at 40000, 0, 50000"),
    ]


@pytest.mark.parametrize(
    ("point", "words"),
    [
        (ChainPoint("soc", 160, "modul[2].DCW"), "did you mean 'module[2].DCW'?"),
        (ChainPoint("soc", 159, "W"), "no definition of model 159"),
    ],
)
def test_a_point_that_no_definition_knows_is_named(point, words):
    good = profile("fronius/gen24")
    [problem] = check_vectors(replace(good, vectors=(), chain=replace(good.chain, points=(point,), differences=())))
    assert words in problem.message
