"""Chains as devices really have them: whole, cut short, endless, lying."""

import struct

import pytest

from mimctl.model.errors import BadReply, DeviceRefusal, LinkDown, LinkTimeout
from mimctl.wire.memory import MemoryBank, MemoryTransport
from mimctl.wire.sunspec import MAX_MODELS, ModelBlock, walk
from mimctl.wire.sunspec_image import ModelContent, build_chain

IDENTITY = ModelContent(1, {"Mn": "ACME"})
METER = ModelContent(203, {"W_SF": 0})


def device(contents=(IDENTITY, METER), base=40000):
    image, chain = build_chain(contents, base)
    return MemoryTransport("gw", {1: MemoryBank(base, image)}), chain


def hand_made(*words, base=40000, room=0):
    data = bytearray(b"SunS" + b"".join(struct.pack(">H", w) for w in words) + bytes(2 * room))
    return MemoryTransport("gw", {1: MemoryBank(base, data)})


def ids(chain):
    return [m.id for m in chain.models]


@pytest.mark.parametrize("base", [40000, 0, 50000])
async def test_the_chain_is_found_at_each_standard_base(base):
    transport, expected = device(base=base)
    assert await walk(transport, 1) == expected
    assert ids(expected) == [1, 203]
    assert expected.models[0] == ModelBlock(1, base + 2, 66)


async def test_a_pinned_base_is_the_only_one_asked():
    transport, _ = device(base=4096)
    assert (await walk(transport, 1, (4096,))).base == 4096
    with pytest.raises(BadReply, match="40000, 0, 50000"):
        await walk(transport, 1)


async def test_silence_at_a_base_means_not_here():
    transport, expected = device(base=0)

    def silent(kind, unit, address, count):
        if address == 40000:
            raise LinkTimeout("gw", "no answer")

    transport.before = silent
    assert await walk(transport, 1) == expected


async def test_a_device_that_never_answers_is_a_timeout():
    with pytest.raises(LinkTimeout):
        await walk(MemoryTransport("gw"), 1)


async def test_a_link_that_goes_down_stops_the_search():
    transport, _ = device()
    transport.connected = False
    with pytest.raises(LinkDown):
        await walk(transport, 1)


@pytest.mark.parametrize("code", [5, 6, 10, 11])
async def test_a_busy_device_or_gateway_is_not_an_empty_base(code):
    transport, _ = device()

    def busy(kind, unit, address, count):
        raise DeviceRefusal("gw", "busy", code)

    transport.before = busy
    with pytest.raises(DeviceRefusal):
        await walk(transport, 1)


async def test_a_chain_that_ends_with_zero():
    chain = await walk(hand_made(1, 2, 0, 0, 0, 0), 1)
    assert ids(chain) == [1]
    assert chain.warnings[0][0] == "sunspec.no_end"


async def test_a_chain_without_an_end_whose_next_register_is_refused():
    chain = await walk(hand_made(1, 2, 0, 0), 1)
    assert ids(chain) == [1]
    assert chain.warnings == (("sunspec.no_end", "no end model: register 40006 is refused"),)


async def test_a_model_that_claims_to_reach_past_the_last_address():
    chain = await walk(hand_made(1, 2, 0, 0, 103, 60000), 1)
    assert ids(chain) == [1]
    assert chain.warnings[0][0] == "sunspec.length"


async def test_a_chain_at_the_very_end_of_the_address_space():
    transport = hand_made(1, 0xFFFF - 65520 - 3, base=65520, room=12)
    chain = await walk(transport, 1, (65520,))
    assert ids(chain) == [1]
    assert chain.warnings[0][0] == "sunspec.no_end"


async def test_models_of_length_zero_without_end_are_bounded():
    transport = hand_made(*(64000, 0) * 1000)
    chain = await walk(transport, 1)
    assert len(chain.models) == MAX_MODELS
    assert "sunspec.endless" in [code for code, _ in chain.warnings]
    assert len(transport.log) < 2 * MAX_MODELS


async def test_the_mark_without_a_model_is_no_chain():
    with pytest.raises(BadReply, match="no model"):
        await walk(hand_made(0xFFFF, 0), 1)


async def test_an_unknown_vendor_model_is_kept_and_passed_over():
    chain = await walk(hand_made(1, 2, 0, 0, 65230, 3, 7, 8, 9, 64000, 1, 0, 0xFFFF, 0), 1)
    assert ids(chain) == [1, 65230, 64000]
    assert [code for code, _ in chain.warnings] == ["sunspec.unknown_model"] * 2


@pytest.mark.parametrize("length", [65, 66, 67])
async def test_the_walk_advances_by_the_length_that_the_device_gives(length):
    words = [1, length, *[0] * length, 203, 105, *[0] * 105, 0xFFFF, 0]
    assert ids(await walk(hand_made(*words), 1)) == [1, 203]


async def test_every_common_model_opens_another_device():
    transport, chain = device((IDENTITY, ModelContent(103), IDENTITY, METER, IDENTITY, METER))
    found = await walk(transport, 1)
    assert found == chain
    assert [[m.id for m in d] for d in found.devices] == [[1, 103], [1, 203], [1, 203]]


async def test_a_chain_that_starts_without_a_common_model_is_one_device():
    transport, _ = device((METER,))
    assert [[m.id for m in d] for d in (await walk(transport, 1)).devices] == [[203]]


async def test_counts_of_repeated_groups_are_read():
    transport, chain = device((IDENTITY, ModelContent(714, {}, {"NPrt": 2}), ModelContent(64901, {}, {"NPh": 6})))
    found = await walk(transport, 1)
    assert found == chain
    assert dict(found.models[1].counts) == {"NPrt": 2}
    assert dict(found.models[2].counts) == {"NPh": 6}


async def test_a_model_that_refuses_to_be_read_does_not_hide_the_others():
    transport, _ = device((IDENTITY, ModelContent(714, {}, {"NPrt": 2}), METER))

    def refuse(kind, unit, address, count):
        if count > 2 and address == 40070:
            raise DeviceRefusal("gw", "illegal address", 2)

    transport.before = refuse
    found = await walk(transport, 1)
    assert ids(found) == [1, 714, 203]
    assert found.warnings[0][0] == "sunspec.unreadable_model"


@pytest.mark.parametrize("count", [0xFFFF, 0, 60000])
async def test_a_count_that_cannot_be_builds_no_more_than_there_is_room_for(count):
    from mimctl.wire.sunspec_map import model_map

    transport, chain = device((ModelContent(714, {}, {"NPrt": 2}),))
    block = chain.models[0]
    image = transport.units[1].registers
    at = next(p.address for p in model_map(block).points if p.key == "NPrt") - 40000
    image[2 * at : 2 * at + 2] = struct.pack(">H", count)
    [found] = (await walk(transport, 1)).models
    points = model_map(found).points
    assert all(p.end <= found.end for p in points)
    assert len(points) <= len(model_map(block).points)
