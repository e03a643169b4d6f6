"""Payloads by the layouts of profiles: golden vectors of every packaged profile, and whatever bytes the air may bring."""

import math
import struct
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimctl.config.profiles.payload_profile import find_payload_profile, known_payload_profiles, load_payload_profile
from mimctl.model.errors import Unencodable
from mimctl.model.payload import FieldType, Frame, PayloadField
from mimctl.wire.payload import encode_payload, read_payload, resolution
from mimctl.wire.payload_golden import payload_problems

PROFILES = [load_payload_profile(path) for name in known_payload_profiles() if (path := find_payload_profile(name)) is not None]
MIM = next(profile for profile in PROFILES if profile.id == "mimctl/mim")


def frame(*fields: PayloadField, length: int = 8) -> Frame:
    return Frame("test", 1, length, fields)


def setpoint(**values: float) -> dict[str, float]:
    assert MIM.setpoint is not None
    return {key: values.get(key.replace(".", "_"), 0.0) for key in MIM.setpoint.keys}


@pytest.mark.parametrize("profile", PROFILES, ids=lambda p: p.id)
def test_every_packaged_profile_gives_its_golden_values(profile):
    assert payload_problems(profile) == []


def test_a_wrong_golden_value_is_found():
    from dataclasses import replace

    wrong = replace(MIM.vectors[0], expect=(("soc", 61.0),))
    assert "61.0 is expected, it gives 60.5" in payload_problems(replace(MIM, vectors=(wrong,)))[0].message


def test_the_frequency_is_relative_to_that_of_the_site():
    reading = read_payload(MIM.uplinks, 10, MIM.vectors[0].payload, nominal_hz=60.0)
    assert reading is not None
    assert reading.get("frequency") == pytest.approx(59.97)


def test_a_value_out_of_range_is_unknown_and_told():
    reading = read_payload(MIM.uplinks, 10, MIM.vectors[2].payload)
    assert reading is not None
    assert reading.unbelievable == ("voltage.port1", "soc")


@pytest.mark.parametrize(("port", "payload"), [(10, b"\x11" * 36), (10, b"\x12" + bytes(36)), (12, b"\x11" + bytes(36)), (11, b"")])
def test_what_fits_no_layout_is_nothing(port, payload):
    assert read_payload(MIM.uplinks, port, payload) is None


@pytest.mark.parametrize(
    ("kind", "data", "value"),
    [
        (FieldType.INT24, b"\xff\xff\xfe", -2),
        (FieldType.UINT24, b"\x01\x00\x00", 65536),
        (FieldType.INT32, b"\x80\x00\x00\x00", -(2**31)),
        (FieldType.FLOAT32, struct.pack(">f", 49.5), 49.5),
    ],
)
def test_types(kind, data, value):
    layout = frame(PayloadField("frequency", 0, kind), length=len(data))
    reading = read_payload([layout], 1, data)
    assert reading is not None
    assert reading.get("frequency") == value
    assert encode_payload("d", layout, {"frequency": value}) == data


@pytest.mark.parametrize("data", [struct.pack(">f", v) for v in (math.inf, -math.inf, math.nan)])
def test_a_float_that_is_no_number_is_unknown(data):
    reading = read_payload([frame(PayloadField("frequency", 0, FieldType.FLOAT32), length=4)], 1, data)
    assert reading is not None
    assert reading.get("frequency") is None


def test_setpoints_are_rounded_towards_zero():
    assert MIM.setpoint is not None
    made = encode_payload("mim1", MIM.setpoint, setpoint(sequence=1, active_power_port1=99.9, active_power_port2=-99.9))
    assert struct.unpack(">hh", made[4:6] + made[8:10]) == (99, -99)


@pytest.mark.parametrize("value", [40000.0, -32768.0, math.inf])
def test_a_setpoint_that_does_not_fit_is_refused(value):
    assert MIM.setpoint is not None
    with pytest.raises(Unencodable):
        encode_payload("mim1", MIM.setpoint, setpoint(sequence=1, active_power_port1=value))


def test_measurements_are_rounded_to_the_nearest_and_unknown_ones_have_their_pattern():
    short = MIM.uplinks[1]
    values = dict.fromkeys(short.keys, 0.0) | {"active_power.port1": 126.0, "active_power.port2": math.nan, "sequence_ack": 7.0}
    reading = read_payload(MIM.uplinks, 11, encode_payload("mim1", short, values, measured=True))
    assert reading is not None
    assert (reading.get("active_power.port1"), reading.get("active_power.port2")) == (130.0, None)
    assert resolution(short, "active_power.port1") == 10.0


def test_whatever_comes_is_read_or_not_and_never_raises():
    """Every window of the noise at every port that a layout has, and at one that none has; how many of them are read is counted."""
    cases = [
        (port, f.length, header)
        for profile in PROFILES
        for f in profile.uplinks
        for port in (f.port, 99)
        for header in {b"", f.header}
    ]
    seen = Counter()

    @settings(max_examples=60)
    @given(st.binary(min_size=60, max_size=120))
    def every_window(noise):
        for start in range(len(noise) - 37):
            for port, size, header in [*cases, (10, 36, b"\x11"), (11, 0, b"")]:
                payload = (header + noise[start:])[:size]
                for profile in PROFILES:
                    reading = read_payload(profile.uplinks, port, payload)
                    seen["passed over" if reading is None else reading.frame.name] += 1
                    check_reading(reading)

    every_window()
    names = {f.name for profile in PROFILES for f in profile.uplinks}
    assert min(seen[name] for name in names) > 1000
    assert sum(seen[name] for name in names) > 10_000


def check_reading(reading):
    if reading is None:
        return
    assert len(reading.values) == len(reading.frame.fields)
    for field, value in zip(reading.frame.fields, reading.values.tolist(), strict=True):
        low, high = field.minimum, field.maximum
        assert math.isnan(value) or ((low is None or value >= low) and (high is None or value <= high))


@given(st.sampled_from([f for p in PROFILES for f in p.uplinks]), st.data())
def test_reading_what_was_made_gives_what_was_meant(layout, data):
    def one(field):
        low, high = field.bounds
        raws = st.integers(low, high).filter(lambda raw: raw not in field.sentinels)
        return raws.map(lambda raw: (raw * field.scale + field.offset) * field.sign + (50.0 if field.from_nominal else 0.0))

    chosen = [f for f in layout.fields if f.key not in ("status", "alarms")]
    apart = Frame(layout.name, layout.port, layout.length, tuple(chosen), layout.header)
    values = {f.key: data.draw(one(f)) for f in chosen}
    inside = {k: v for f in chosen if (k := f.key) and (v := values[k]) >= (f.minimum or v) and v <= (f.maximum or v)}
    kept = Frame(layout.name, layout.port, layout.length, tuple(f for f in chosen if f.key in inside), layout.header)
    reading = read_payload([apart], layout.port, encode_payload("d", kept, inside, measured=True))
    assert reading is not None
    assert {k: reading.get(k) for k in inside} == pytest.approx(inside)
