"""Frames for several devices: each finds its own part and nobody else's, whatever bytes the air may bring."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimctl.config.profiles.payload_profile import find_payload_profile, load_payload_profile
from mimctl.model.errors import Unencodable
from mimctl.model.numbering import is_stale, next_number
from mimctl.wire.payload import encode_payload
from mimctl.wire.payload_golden import payload_problems
from mimctl.wire.payload_group import encode_group, encode_part, read_part, read_release

PATH = find_payload_profile("mimctl/mim")
assert PATH is not None
MIM = load_payload_profile(PATH)
FRAMES = MIM.group
assert FRAMES is not None
KEYS = [key for key in FRAMES.part.keys if key not in ("member", "sequence")]


def part(member: int, sequence: int, watts: float) -> bytes:
    assert FRAMES is not None
    return encode_part("mim1", FRAMES, {"member": member, "sequence": sequence, **dict.fromkeys(KEYS, watts)})


def test_the_packaged_frames_are_those_of_the_golden_vectors():
    assert len(MIM.group_vectors) == 2
    assert payload_problems(MIM) == []


@given(st.lists(st.integers(1, 255), min_size=1, max_size=8, unique=True), st.integers(1, 65535), st.data())
def test_each_member_reads_what_was_meant_for_it(members, validity_s, data):
    frame = encode_group("g", FRAMES, validity_s, [part(m, m % 250 + 1, float(10 * m)) for m in members])
    assert len(frame) == FRAMES.length(len(members))
    asked = data.draw(st.integers(1, 255))
    found = read_part(FRAMES, 21, frame, asked)
    if asked not in members:
        assert found is None
        return
    assert found is not None
    assert found[0] == validity_s
    assert found[1].get("sequence") == asked % 250 + 1
    assert {found[1].get(key) for key in KEYS} == {10.0 * asked}


@settings(max_examples=500)
@given(st.integers(1, 255), st.binary(max_size=120), st.sampled_from([20, 21, 22]), st.booleans())
def test_noise_is_read_or_passed_over(member, noise, port, headed):
    frame = FRAMES.head.header + noise if headed else noise
    found = read_part(FRAMES, port, frame, member)
    if found is not None:
        assert port == 21
        assert (len(frame) - 3) % 14 == 0
    release = read_release(FRAMES, port, frame)
    assert release is None or (port, len(frame)) == (21, 2)


def test_a_release_of_all_is_none_of_the_setpoints():
    frame = encode_payload("g", FRAMES.release, {"sequence": 7.0})
    assert read_release(FRAMES, 21, frame) == 7
    assert read_part(FRAMES, 21, frame, 1) is None
    assert read_release(FRAMES, 21, encode_group("g", FRAMES, 60, [part(1, 2, 3.0)])) is None


@pytest.mark.parametrize("values", [{"member": 0, "sequence": 1}, {"member": 256, "sequence": 1}, {"member": 1, "sequence": 256}])
def test_what_does_not_fit_is_refused(values):
    with pytest.raises(Unencodable):
        encode_part("mim1", FRAMES, {**values, **dict.fromkeys(KEYS, 0.0)})


@pytest.mark.parametrize(
    ("number", "in_force", "stale"),
    [(6, 5, False), (5, 5, False), (4, 5, True), (1, 255, False), (255, 1, True), (240, 1, True), (239, 1, False), (9, 0, False)],
)
def test_a_number_a_little_behind_the_one_in_force_is_late(number, in_force, stale):
    assert is_stale(number, in_force, 255) is stale


def test_numbers_begin_again_after_the_last_and_leave_out_none():
    assert [next_number(n, 255) for n in (0, 1, 254, 255)] == [1, 2, 255, 1]
