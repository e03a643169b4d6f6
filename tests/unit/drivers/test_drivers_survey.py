"""A device as a table, live and out of a dump: the same values either way, and nothing made up."""

import struct
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mimctl.config.profiles.registers_profile import find_profile, load_profile
from mimctl.drivers.discovery import ProfileSource, SunSpecSource
from mimctl.drivers.dump_reading import read_dump
from mimctl.drivers.register_device import RegisterDevice
from mimctl.drivers.survey import survey, take_dump
from mimctl.model.clock import VirtualClock
from mimctl.model.errors import DeviceRefusal, UserError
from mimctl.model.profile import DeviceClass
from mimctl.model.sample import Quality
from mimctl.wire.dump import RegisterDump, as_json, blocks_of, dump_of
from mimctl.wire.memory import MemoryBank, MemoryTransport
from mimctl.wire.recorder import Recorder
from mimctl.wire.sunspec_image import ModelContent, build_chain

COMMON = {"Mn": "ACME", "Md": "M1", "SN": "SER-42424"}
METER = {"W_SF": 0, "V_SF": -1, "A_SF": -2, "Hz_SF": -2, "WphA": 1500.0, "PhVphA": 230.5, "AphB": 6.5, "Hz": 50.0}
START = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.fixture
def clock():
    return VirtualClock(START, monotonic_s=100.0)


def words_of(image, base=40000):
    return dict(enumerate(struct.unpack(f">{len(image) // 2}H", image), base))


def dump_with(words, unit=1, function=3):
    return RegisterDump(blocks_of({(unit, function): words}))


def chain_words(*contents, base=40000):
    return words_of(build_chain(contents, base)[0], base)


def values(reading):
    return {p.point: p.value for p in reading.points}


async def live(image, clock, wanted=DeviceClass.METER, *, every_point=False, before=None):
    recorder = Recorder(MemoryTransport("gw", {7: MemoryBank(40000, image)}, before=before))
    source = SunSpecSource(wanted)
    reader = RegisterDevice("m1", recorder, 7, source=source, clock=clock)
    return await survey(reader, recorder, 7, source, every_point=every_point), reader, recorder, source


async def test_a_dump_of_a_live_device_reads_as_the_device_did(clock):
    image, _ = build_chain([ModelContent(1, COMMON), ModelContent(203, METER)])
    reading, reader, recorder, source = await live(image, clock, every_point=True)
    dump = dump_of(as_json(await take_dump(reader, recorder, 7, source, utc=START, redact=False)))
    assert (dump.profile, dump.taken_at) == ("sunspec", "2026-01-05T00:00:00+00:00")
    assert dump.words()[7, 3] == words_of(image)
    (again,) = await read_dump(dump, clock, every_point=True)
    assert again.points == reading.points
    assert dict(again.identity) == {"manufacturer": "ACME", "model": "M1", "serial": "SER-42424"}
    assert values(again)["voltage.L1"] == 230.5
    assert values(again)["model203.PhVphA"] == 230.5
    assert values(again)["model1.Mn"] == "ACME"
    by_name = {p.point: p for p in again.points}
    assert by_name["voltage.L1"].registers == (2305,)
    assert by_name["voltage.L1"].unit == "V"
    assert (by_name["voltage.L2"].value, by_name["voltage.L2"].quality) == (None, Quality.BAD)


async def test_a_redacted_dump_reads_the_same_but_for_the_serial(clock):
    image, _ = build_chain([ModelContent(1, COMMON), ModelContent(203, METER)])
    reading, reader, recorder, source = await live(image, clock)
    (again,) = await read_dump(await take_dump(reader, recorder, 7, source, utc=START), clock)
    assert again.points == reading.points
    assert dict(again.identity)["serial"] == "REDACTED"


async def test_registers_refused_alone_stay_out_of_the_dump_and_the_rest_is_there(clock):
    image, _ = build_chain([ModelContent(1, COMMON), ModelContent(203, METER)])
    hole = 40170

    def refuse(kind, unit, address, count):
        if address <= hole < address + count:
            raise DeviceRefusal("gw", "illegal data address", 2)

    _, reader, recorder, source = await live(image, clock, before=refuse)
    dump = await take_dump(reader, recorder, 7, source, utc=START, redact=False)
    known = dump.words()[7, 3]
    assert known == {a: w for a, w in words_of(image).items() if a != hole}


async def test_several_common_models_are_several_devices(clock):
    one, two = {**COMMON, "Md": "first"}, {**COMMON, "Md": "second"}
    words = chain_words(
        ModelContent(1, one), ModelContent(203, METER), ModelContent(1, two), ModelContent(103, {"W": 7.0, "W_SF": 0})
    )
    first, second = await read_dump(dump_with(words), clock)
    assert (first.device_class, second.device_class) == ("meter", "inverter")
    assert (dict(first.identity)["model"], dict(second.identity)["model"]) == ("first", "second")
    assert values(second)["active_power.total"] == 7.0


async def test_vendor_models_are_passed_over_and_named_as_unknown(clock):
    words = chain_words(ModelContent(1, COMMON), ModelContent(103, {"W": 9.0, "W_SF": 0}))
    end = max(words) - 1
    words |= {end: 64999, end + 1: 3, end + 2: 1, end + 3: 2, end + 4: 3, end + 5: 0xFFFF, end + 6: 0}
    (reading,) = await read_dump(dump_with(words), clock, every_point=True)
    assert [(m.id, m.name is None) for m in reading.models] == [(1, False), (103, False), (64999, True)]
    assert ("sunspec.unknown_model") in {code for code, _ in reading.warnings}
    assert values(reading)["active_power.total"] == 9.0


@pytest.mark.parametrize("end", [{}, {0: 0, 1: 0}], ids=["nothing", "zeros"])
async def test_a_chain_without_its_end_is_read_all_the_same(clock, end):
    words = chain_words(ModelContent(1, COMMON), ModelContent(103, {"W": 9.0, "W_SF": 0}))
    last = max(words) - 1
    del words[last], words[last + 1]
    words |= {last + n: word for n, word in end.items()}
    (reading,) = await read_dump(dump_with(words), clock)
    assert values(reading)["active_power.total"] == 9.0
    assert "sunspec.no_end" in {code for code, _ in reading.warnings}


async def test_a_device_with_nothing_that_mimctl_knows_still_says_who_it_is(clock):
    words = chain_words(ModelContent(1, COMMON))
    (reading,) = await read_dump(dump_with(words), clock, every_point=True)
    assert (dict(reading.identity)["manufacturer"], reading.quality) == ("ACME", Quality.BAD)
    assert values(reading)["model1.Md"] == "M1"


@pytest.mark.parametrize("base", [0, 40000, 50000, 1234])
async def test_the_chain_is_found_wherever_it_begins(clock, base):
    words = chain_words(ModelContent(1, COMMON), ModelContent(103, {"W": 9.0, "W_SF": 0}), base=base)
    (reading,) = await read_dump(dump_with(words), clock)
    assert values(reading)["active_power.total"] == 9.0


async def test_unknown_registers_take_their_points_along_and_no_others(clock):
    words = chain_words(ModelContent(1, COMMON), ModelContent(203, METER))
    (whole,) = await read_dump(dump_with(words), clock, every_point=True)
    places = {p.point: p.address for p in whole.points}
    gone = {"voltage.L1", "model203.PhVphA", "model1.Mn"}
    without = {a: w for a, w in words.items() if a not in (places["voltage.L1"], places["model1.Mn"] + 3)}
    (reading,) = await read_dump(dump_with(without), clock, every_point=True)
    wanted = {name: (None if name in gone else value) for name, value in values(whole).items()}
    assert values(reading) == wanted
    assert "manufacturer" not in dict(reading.identity)


async def test_an_unknown_scale_factor_takes_its_points_along(clock):
    words = chain_words(ModelContent(1, COMMON), ModelContent(203, METER))
    (whole,) = await read_dump(dump_with(words), clock, every_point=True)
    scale = next(p.address for p in whole.points if p.point == "model203.V_SF")
    (reading,) = await read_dump(dump_with({a: w for a, w in words.items() if a != scale}), clock)
    assert (values(reading)["voltage.L1"], values(reading)["current.L2"]) == (None, 6.5)


async def test_enumerations_and_bits_are_named(clock):
    words = chain_words(ModelContent(1, COMMON), ModelContent(103, {"St": 4.0, "Evt1": 3.0, "W_SF": 0}))
    (reading,) = await read_dump(dump_with(words), clock, every_point=True)
    meanings = {p.point: p.meaning for p in reading.points if p.meaning}
    assert meanings["model103.St"] == "MPPT"
    assert meanings["model103.Evt1"] == "GROUND_FAULT, DC_OVER_VOLT"


async def test_a_second_model_of_one_id_has_a_name_of_its_own(clock):
    words = chain_words(ModelContent(1, COMMON), ModelContent(103, {"W": 1.0, "W_SF": 0}), ModelContent(103, {"W": 2.0, "W_SF": 0}))
    (reading,) = await read_dump(dump_with(words), clock, every_point=True)
    assert (values(reading)["model103.W"], values(reading)["model103#2.W"]) == (1.0, 2.0)


async def test_a_profile_reads_a_dump_of_what_its_own_proof_holds(clock):
    path = find_profile("schneider/iem3155")
    profile = load_profile(path)
    vector = profile.vectors[0]
    words: dict[int, int] = {}
    for start, data in vector.image:
        words |= words_of(data, start)
    function = profile.register_map.points[0].function
    (reading,) = await read_dump(dump_with(words, 5, function), clock, profile=profile)
    assert reading.map == "schneider/iem3155"
    found = values(reading)
    for key, expected in vector.expect:
        assert found[key] == (None if expected is None else pytest.approx(expected, rel=1e-6)), key
    known = {key for key, _ in vector.expect}
    assert {key for key, value in found.items() if value is not None} <= known


async def test_a_live_device_by_profile_gives_a_dump_that_names_it(clock):
    profile = load_profile(find_profile("schneider/iem3155"))
    most = max(p.end for p in profile.register_map.points)
    recorder = Recorder(MemoryTransport("gw", {3: MemoryBank(0, bytearray(2 * (most + 200)))}))
    source = ProfileSource(profile)
    reader = RegisterDevice("m1", recorder, 3, source=source, clock=clock)
    dump = await take_dump(reader, recorder, 3, source, utc=START)
    assert (dump.profile, dump.units) == (profile.id, (3,))
    (reading,) = await read_dump(dump, clock, profile=replace(profile))
    live_reading = await survey(reader, recorder, 3, source, every_point=False)
    assert reading.points == live_reading.points


async def test_what_cannot_be_read_is_said(clock):
    with pytest.raises(UserError, match="no SunSpec chain"):
        await read_dump(dump_with({0: 1}), clock)
    with pytest.raises(UserError, match="no unit 9"):
        await read_dump(dump_with(chain_words(ModelContent(1, COMMON))), clock, units=(9,))
