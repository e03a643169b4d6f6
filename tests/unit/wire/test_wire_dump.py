"""The dump file, the transport that answers out of it, and what redaction leaves."""

import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimctl.model.errors import DeviceRefusal, LinkTimeout, UserError
from mimctl.wire.dump import DumpBank, DumpBlock, DumpTransport, RegisterDump, as_json, blocks_of, dump_of, load_dump
from mimctl.wire.memory import MemoryBank, MemoryTransport
from mimctl.wire.recorder import Recorder
from mimctl.wire.redact import redacted, sensitive_points, version_points
from mimctl.wire.registers import CompiledMap
from mimctl.wire.sunspec import ModelBlock, walk
from mimctl.wire.sunspec_image import ModelContent, build_chain
from mimctl.wire.sunspec_map import register_map_of

HEAD = {"format": "mimctl register dump", "version": 1}


def block(start, words, **more):
    return {"unit": 1, "function": 3, "start": start, "count": len(words), "words": words, **more}


def test_a_file_is_read_as_documented(tmp_path):
    file = tmp_path / "d.json"
    file.write_text(json.dumps({**HEAD, "profile": "acme/x", "blocks": [block(10, [1, None, "0xFFff"]), block(5, [7], count=3)]}))
    dump = load_dump(file)
    assert dump.profile == "acme/x"
    assert dump.blocks == (DumpBlock(1, 3, 10, (1, None, 0xFFFF)), DumpBlock(1, 3, 5, (7, None, None)))
    assert dump.words() == {(1, 3): {10: 1, 12: 0xFFFF, 5: 7}}


@pytest.mark.parametrize("words", [{}, {"words": None}, {"words": []}])
def test_a_block_of_which_nothing_is_known_is_a_block(words):
    assert dump_of({"blocks": [{"start": 7, "count": 3, **words}]}).blocks == (DumpBlock(1, 3, 7, (None, None, None)),)


def test_unit_and_function_may_stand_once_for_all_blocks():
    assert dump_of({"unit": 9, "function": 4, "blocks": [{"start": 0, "words": [1]}]}).blocks == (DumpBlock(9, 4, 0, (1,)),)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ([], "a list 'blocks'"),
        ({"blocks": []}, "no registers"),
        ({"blocks": [3]}, r"blocks\[0\]"),
        ({**HEAD, "version": 2, "blocks": [block(0, [1])]}, "version 2"),
        ({"format": "other", "blocks": [block(0, [1])]}, "format is 'other'"),
        ({"blocks": [block(0, [65536])]}, r"blocks\[0\]\.words\[0\]: 65536"),
        ({"blocks": [block(0, [-1])]}, "-1"),
        ({"blocks": [block(0, [True])]}, "True"),
        ({"blocks": [block(0, [1.0])]}, "1.0"),
        ({"blocks": [block(0, ["0xzz"])]}, "0xzz"),
        ({"blocks": [block(65535, [1, 2])]}, "past the last address"),
        ({"blocks": [block(0, [1, 2], count=1)]}, "2 words, though count is 1"),
        ({"blocks": [block(0, [1], function=6)]}, "function: 6"),
        ({"blocks": [block(0, [1], unit=256)]}, "unit: 256"),
        ({"blocks": [{"start": 1}]}, r"blocks\[0\]: an object with 'start' and a list 'words'"),
        ({"blocks": [{"words": [1]}]}, r"blocks\[0\]: the key 'start' is missing"),
        ({"blocks": [block(0, [1])], "redacted": 3}, "redacted"),
        ({"blocks": [block(0, [1])], "note": 3}, "note"),
    ],
)
def test_what_is_wrong_is_named_by_its_place(data, says):
    with pytest.raises(UserError, match=says):
        dump_of(data)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_is_no_json_is_one_line(tmp_path, content):
    file = tmp_path / "d.json"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"d\.json: not "):
        load_dump(file)


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(UserError, match="cannot read"):
        load_dump(tmp_path / "none.json")


WORDS = st.dictionaries(st.integers(0, 300), st.integers(0, 0xFFFF), min_size=1, max_size=60)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.dictionaries(st.tuples(st.integers(0, 255), st.sampled_from([3, 4])), WORDS, min_size=1, max_size=3))
def test_writing_and_reading_a_dump_keeps_every_register(words):
    assert dump_of(json.loads(json.dumps(as_json(RegisterDump(blocks_of(words)))))).words() == words


async def test_reads_find_what_is_known_across_blocks_and_refuse_the_rest():
    dump = RegisterDump((DumpBlock(1, 3, 10, (1, 2, None, 4)), DumpBlock(1, 3, 14, (5,)), DumpBlock(1, 4, 10, (9,))))
    transport = DumpTransport(dump)
    assert await transport.read(1, 13, 2) == struct.pack(">2H", 4, 5)
    assert await transport.read(1, 10, 1, function=4) == struct.pack(">H", 9)
    # one value that is half known is refused; in a longer read the rest counts
    with pytest.raises(DeviceRefusal) as refusal:
        await transport.read(1, 11, 2)
    assert refusal.value.code == 2
    assert await transport.read(1, 10, 5) == struct.pack(">5H", 1, 2, 0, 4, 5)
    assert transport.word(1, 3, 12) is None
    with pytest.raises(DeviceRefusal):
        await transport.read(1, 100, 20)
    with pytest.raises(LinkTimeout):
        await transport.read(2, 10, 1)
    with pytest.raises(DeviceRefusal):
        await transport.write(1, 10, b"\0\0")


def test_a_served_dump_refuses_every_read_that_touches_an_unknown_register():
    bank = DumpBank(RegisterDump((DumpBlock(1, 3, 10, (1, None, 3)), DumpBlock(1, 4, 10, (7,)))), 1)
    assert bank.read(12, 1) == b"\0\3"
    assert bank.read_input(10, 1) == b"\0\7"
    for address, count in ((10, 2), (11, 1), (12, 2)):
        with pytest.raises(DeviceRefusal) as refusal:
            bank.read(address, count)
        assert refusal.value.code == 2
    with pytest.raises(DeviceRefusal):
        bank.write(10, b"\0\0")


async def test_the_recorder_keeps_the_latest_of_what_was_read():
    bank = MemoryBank(10, bytearray(b"\0\1\0\2\0\3"))
    recorder = Recorder(MemoryTransport("gw", {1: bank}))
    await recorder.read(1, 10, 3)
    bank.write(11, b"\0\7")
    await recorder.read(1, 11, 1)
    assert recorder.words == {(1, 3): {10: 1, 11: 7, 12: 3}}
    with pytest.raises(DeviceRefusal):
        await recorder.read(1, 12, 2)
    assert recorder.word(1, 3, 13) is None


def chain_dump(*contents):
    image, chain = build_chain(contents)
    words = dict(enumerate(struct.unpack(f">{len(image) // 2}H", image), 40000))
    return RegisterDump(blocks_of({(1, 3): words})), chain.models


def bytes_of(dump):
    return b"".join(struct.pack(f">{len(b.words)}H", *b.words) for b in dump.blocks)


def test_redaction_takes_serial_numbers_and_network_addresses_and_keeps_the_chain():
    dump, models = chain_dump(
        ModelContent(1, {"Mn": "ACME", "Md": "M1", "SN": "SER-123456"}),
        ModelContent(11, {}),
        ModelContent(12, {"Nam": "port 1", "Addr": "10.1.2.3", "HostNam": "inv.example", "DNS1": "10.1.2.1"}),
        ModelContent(103, {"W": 500.0, "W_SF": 0}),
    )
    assert b"SER-123456" in bytes_of(dump)
    clean = redacted(dump, 1, sensitive_points(models))
    left = bytes_of(clean)
    for secret in (b"SER-123456", b"10.1.2", b"example"):
        assert secret not in left
    assert b"ACME" in left
    assert len(left) == len(bytes_of(dump))
    assert "unit 1: SN" in clean.redacted


def test_a_serial_number_that_stands_elsewhere_too_goes_as_well():
    dump, models = chain_dump(ModelContent(1, {"Mn": "ACME", "SN": "SER-123456"}))
    vendor = struct.unpack(">6H", b"xSER-123456y")
    dump = RegisterDump((*dump.blocks, DumpBlock(1, 3, 50000, vendor)))
    left = bytes_of(redacted(dump, 1, sensitive_points(models)))
    assert b"SER-123456" not in left
    assert b"xXXXXXXXXXXy" in left


def test_addresses_in_any_text_go_and_a_version_that_looks_like_one_stays():
    common = {"Mn": "ACME", "Md": "gw 192.0.2.77 00:1B:44:11:3a:b7", "Opt": "x", "Vr": "4.18.3.2"}
    dump, models = chain_dump(ModelContent(1, common))
    vendor = struct.unpack(">10H", b"at 203.0.113.254;999")
    dump = RegisterDump((*dump.blocks, DumpBlock(1, 4, 7, vendor)))
    clean = redacted(dump, 1, sensitive_points(models), version_points(models))
    left = bytes_of(clean)
    assert b"gw XXXXXXXXXX XXXXXXXXXXXXXXXXX\0" in left
    assert b"4.18.3.2" in left
    for secret in (b"192.0.2", b"1B:44", b"203.0.113"):
        assert secret not in left
    assert "unit 1: an address as text in the registers from 8" in clean.redacted
    assert len(left) == len(bytes_of(dump))


def test_a_text_known_in_part_is_forgotten_altogether():
    dump, _ = chain_dump(ModelContent(1, {"SN": "SER-123456"}))
    words = dump.words()
    serial = 40002 + 52
    del words[1, 3][serial + 8]
    clean = redacted(RegisterDump(blocks_of(words)), 1, sensitive_points([ModelBlock(1, 40002, 66)]))
    assert serial not in clean.words()[1, 3]
    assert 40002 in clean.words()[1, 3]


def holed(contents, *unknown):
    """A dump of a chain without the registers at these offsets, and the chain as it is."""
    image, chain = build_chain(contents)
    words = list(struct.unpack(f">{len(image) // 2}H", image))
    known = tuple(None if n in unknown else word for n, word in enumerate(words))
    return DumpTransport(RegisterDump((DumpBlock(1, 3, 40000, known),))), chain


async def test_a_model_whose_length_is_unknown_is_as_long_as_its_definition():
    """SunSpec model 103: L = 50, so the meter behind it stands where it was."""
    inverter = ModelContent(103, {"W": 2830, "W_SF": 0})
    transport, whole = holed([ModelContent(1), inverter, ModelContent(203)], 2 + 68 + 1)
    chain = await walk(transport, 1)
    assert [(m.id, m.address, m.length) for m in chain.models] == [(m.id, m.address, m.length) for m in whole.models]
    assert [m.length_told for m in chain.models] == [True, False, True]
    assert chain.warnings == (("sunspec.length", "the length of model 103 at 40070 is not known; 50 is taken, as defined"),)
    compiled = CompiledMap(register_map_of(chain.devices[0], "inverter"))
    blocks = [await transport.read(1, r.address, r.count) for r in compiled.reads]
    assert compiled.mismatch(blocks) is None
    assert dict(zip(compiled.keys, compiled.decode(blocks), strict=True))["active_power.total"] == 2830


async def test_groups_count_for_a_length_that_is_unknown():
    transport, whole = holed([ModelContent(705, counts={"NCrv": 3, "NPt": 4}), ModelContent(203)], 2 + 1)
    assert [(m.id, m.address, m.length) for m in (await walk(transport, 1)).models] == [
        (m.id, m.address, m.length) for m in whole.models
    ]


async def test_a_length_that_no_definition_tells_ends_the_chain_with_a_warning():
    """Model 160 repeats its group as often as L has room."""
    transport, _ = holed([ModelContent(1), ModelContent(160, length=48), ModelContent(203)], 2 + 68 + 1)
    chain = await walk(transport, 1)
    assert [m.id for m in chain.models] == [1]
    assert chain.warnings == (("sunspec.length", "the length of model 160 at 40070 is not known: what follows is not found"),)


async def test_an_end_model_without_a_length_is_an_end():
    image, _ = build_chain([ModelContent(1)])
    transport, _ = holed([ModelContent(1)], len(image) // 2 - 1)
    assert (await walk(transport, 1)).warnings == ()
