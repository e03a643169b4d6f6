"""From models to mimctl's keys."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import sunspec2.device as oracle
import sunspec2.mdef as oracle_definitions

from mimctl.model.chain import ChainRules
from mimctl.model.errors import BadReply
from mimctl.model.profile import DeviceClass, ReadBlock
from mimctl.model.quantity import quantity_of
from mimctl.model.site import ExpiryAction
from mimctl.wire.registers import CompiledMap
from mimctl.wire.sunspec import Chain, ModelBlock
from mimctl.wire.sunspec_image import ModelContent, build_chain
from mimctl.wire.sunspec_keys import MIM_CONTROL, MIM_MEASUREMENT, keys_of
from mimctl.wire.sunspec_map import MAX_WRITE, class_of, model_map, register_map_of
from mimctl.wire.sunspec_models import definition_of, leaves, model_directories, vendor_model_id
from mimctl.wire.sunspec_rules import models_of
from mimctl.wire.writes import write_image

OWN = sorted(model_directories()[0].glob("model_*.json"))
MAPPED = [101, 102, 103, 111, 112, 113, 201, 202, 203, 204, 211, 212, 213, 214, 701, 702, 713, 802]


def mim(ports, *between):
    contents = [
        ModelContent(1, {"Mn": "ACME", "Md": "MIM-3", "SN": "7"}),
        *between,
        ModelContent(713, {"Pct_SF": -1, "SoC": 61.5}),
        ModelContent(vendor_model_id(MIM_MEASUREMENT), {"W_SF": 0, "V_SF": -1, "Hz_SF": -3}, {"NPh": ports}),
        ModelContent(vendor_model_id(MIM_CONTROL), {"W_SF": 0, "WdAct": 1, "WdTms": 10}, {"NPh": ports}),
    ]
    return build_chain(contents)


def values_of(image, chain, register_map):
    compiled = CompiledMap(register_map)
    blocks = [bytes(image[2 * (r.address - chain.base) : 2 * (r.end - chain.base)]) for r in compiled.reads]
    return dict(zip(compiled.keys, compiled.decode(blocks).tolist(), strict=True))


KINDS = {"integer": int, "string": str, "object": dict, "array": list}


def assert_fits(value, schema, root):
    """The part of JSON Schema draft 7 that the library's model schema uses."""
    if "$ref" in schema:
        schema = root["definitions"][schema["$ref"].rpartition("/")[2]]
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    assert not kinds or isinstance(value, tuple(KINDS[k] for k in kinds)), (value, kinds)
    assert value in schema.get("enum", [value])
    if isinstance(value, int):
        assert schema.get("minimum", value) <= value <= schema.get("maximum", value)
    if isinstance(value, dict):
        assert set(schema.get("required", ())) <= set(value)
        for key, inner in value.items():
            assert_fits(inner, schema["properties"][key], root)
    for inner in value if isinstance(value, list) else ():
        assert_fits(inner, schema["items"], root)


@pytest.mark.parametrize("path", OWN, ids=lambda p: p.stem)
def test_our_models_are_valid_model_definitions(path):
    schema = json.loads((Path(oracle.models_dir) / "json" / "schema.json").read_text())
    definition = json.loads(path.read_text())
    assert_fits(definition, schema, schema)
    assert path.name == f"model_{definition['id']}.json"
    assert oracle_definitions.validate_model_def(definition) == ""


@pytest.mark.parametrize("name", [MIM_CONTROL, MIM_MEASUREMENT])
def test_the_number_of_a_vendor_model_stands_in_its_definition_alone(name):
    definition = definition_of(vendor_model_id(name))
    assert definition["group"]["name"] == name
    head = {p["name"]: p.get("value") for p in definition["group"]["points"]}
    assert head["ID"] == definition["id"]


@pytest.mark.parametrize(("ports", "control", "measurement"), [(1, 21, 37), (3, 43, 65), (6, 76, 107), (9, 109, 149)])
def test_our_models_have_the_documented_lengths(ports, control, measurement):
    """5 + 4·n revert + 7·n setpoints + 5 commit; 23 + 14·n measurements."""
    _, chain = mim(ports)
    assert [m.length for m in chain.models[-1:-3:-1]] == [control, measurement]


@pytest.mark.parametrize("ports", [1, 3, 6, 9])
def test_the_oracle_reads_our_models_without_complaint(ports):
    before = oracle.get_model_defs_path()
    oracle.set_model_defs_path([str(model_directories()[0]), oracle.models_dir])
    image, chain = mim(ports)
    for block in chain.models:
        at = 2 * (block.address - chain.base)
        data = bytes(image[at : at + 2 * (block.length + 2)])
        assert oracle.Model(model_id=block.id, model_len=block.length, data=data).error_info == ""
    oracle.set_model_defs_path(before)


@pytest.mark.parametrize("model_id", MAPPED)
def test_every_mapped_point_exists_and_is_a_known_quantity(model_id):
    keys = keys_of(model_id, "")
    paths = {leaf.path for leaf in leaves(definition_of(model_id), 1000, {})}
    mapped = {path: key for path, key in keys.items() if path in paths}
    assert mapped
    assert all(quantity_of(key) is not None for key in mapped.values())
    assert len(set(mapped.values())) == len(mapped)


@pytest.mark.parametrize("model_id", [203, 213])
def test_a_three_phase_meter_gives_what_balancing_needs(model_id):
    _, chain = build_chain([ModelContent(1), ModelContent(model_id)])
    keys = set(CompiledMap(register_map_of(chain.models, "m")).keys)
    for quantity in ("voltage", "current", "active_power", "reactive_power"):
        assert {f"{quantity}.L{n}" for n in (1, 2, 3)} <= keys
    assert {"frequency", "active_power.total", "voltage.L3L1", "energy_import.total"} <= keys


def test_a_meter_is_read_import_positive_in_one_request():
    content = ModelContent(
        203, {"W_SF": 1, "WphA": 1500, "A_SF": -2, "AphA": 6.52, "V_SF": -1, "PhVphA": 230.1, "VAR_SF": 0, "VARphA": -20}
    )
    image, chain = build_chain([ModelContent(1), content])
    register_map = register_map_of(chain.models, "m")
    assert register_map.device_class is DeviceClass.METER
    assert len(CompiledMap(register_map).reads) == 1
    values = values_of(image, chain, register_map)
    assert values["active_power.L1"] == 1500
    assert values["current.L1"] == 6.52
    assert values["voltage.L1"] == 230.1
    assert values["reactive_power.L1"] == -20
    assert np.isnan(values["active_power.L2"])


def test_a_single_phase_meter_may_give_totals_alone():
    image, chain = build_chain([ModelContent(1), ModelContent(201, {"W_SF": 0, "W": 700})])
    assert values_of(image, chain, register_map_of(chain.models, "m"))["active_power.L1"] == 700


def test_the_long_inverter_model_is_one_read_with_its_scale_factors():
    """Its points and scale factors end at offset 122; only a text stands behind."""
    _, chain = build_chain([ModelContent(701)])
    compiled = CompiledMap(register_map_of(chain.models, "i"))
    assert compiled.reads == (ReadBlock(40002, 123),)
    assert {"active_power.L3", "voltage.L2", "reactive_power.total", "temperature"} <= set(compiled.keys)


def test_ratings_are_read_once():
    _, chain = build_chain([ModelContent(1), ModelContent(701), ModelContent(702)])
    register_map = register_map_of(chain.models, "i")
    assert set(CompiledMap(register_map, static=True).keys) == {
        "rating_active_power",
        "rating_apparent_power",
        "rating_charge_power",
        "rating_discharge_power",
    }
    assert "rating_active_power" not in CompiledMap(register_map).keys


@pytest.mark.parametrize("ports", [1, 3, 6])
def test_a_mim_is_polled_in_one_read_that_holds_its_storage_as_well(ports):
    image, chain = mim(ports)
    register_map = register_map_of(chain.models, "m")
    assert len(CompiledMap(register_map).reads) == 1
    write_image(register_map, image, chain.base, {f"active_power.port{ports}": -1200.0, "watchdog_remaining": 9.0})
    values = values_of(image, chain, register_map)
    assert values["soc"] == 61.5
    assert values[f"active_power.port{ports}"] == -1200
    assert values["watchdog_remaining"] == 9
    assert f"active_power.port{ports + 1}" not in values


def test_nine_ports_are_more_than_one_reply_holds():
    image, chain = mim(9)
    register_map = register_map_of(chain.models, "m")
    compiled = CompiledMap(register_map)
    assert compiled.fast_reads == 2  # state of charge and one distortion come now and then
    assert len(compiled.reads) == 4
    sent = {f"active_power.port{n}": 10.0 * n for n in range(1, 10)}
    write_image(register_map, image, chain.base, sent)
    values = values_of(image, chain, register_map)
    assert {key: values[key] for key in sent} == sent


def test_the_commands_of_a_mim_are_one_write_with_the_commit_last():
    _, chain = mim(3)
    mim_map = register_map_of(chain.models, "m").mim
    control = chain.models[-1]
    assert mim_map.command == ReadBlock(control.address + 2 + 5 + 12, 26)
    assert mim_map.setpoint_w[0].address == mim_map.command.address
    assert mim_map.sequence.end == mim_map.command.end == control.end
    assert max(p.address for p in (*mim_map.setpoint_w, *mim_map.setpoint_var)) < mim_map.enable.address
    assert dict(mim_map.expiry_codes) == {
        ExpiryAction.HOLD: 0,
        ExpiryAction.ZERO: 1,
        ExpiryAction.REVERT: 2,
        ExpiryAction.DISCONNECT: 3,
    }


def test_nine_ports_still_fit_one_write():
    mim_map = register_map_of(mim(9)[1].models, "m").mim
    assert mim_map.command.count == 68 <= MAX_WRITE


def test_a_mim_tells_its_ports_itself_so_its_inverter_model_is_not_read():
    _, chain = mim(3, ModelContent(701))
    assert "active_power.L1" not in CompiledMap(register_map_of(chain.models, "m")).keys


def test_a_mim_without_measurements_or_with_a_cut_command_model_is_refused():
    _, chain = mim(3)
    with pytest.raises(BadReply, match="no measurement model"):
        register_map_of((*chain.models[:2], chain.models[-1]), "m")
    control = chain.models[-1]
    short = ModelBlock(control.id, control.address, 40, control.counts)
    with pytest.raises(BadReply, match=r"has no Cmt\.SeqCmd"):
        register_map_of((*chain.models[:-1], short), "m")
    none = ModelBlock(control.id, control.address, 10, (("NPh", 0),))
    with pytest.raises(BadReply, match="0 ports"):
        register_map_of((*chain.models[:-1], none), "m")


def test_the_device_of_the_wanted_kind_is_taken_from_a_chain():
    _, chain = build_chain([ModelContent(1), ModelContent(103), ModelContent(1), ModelContent(203)])
    assert [m.id for m in models_of(chain, DeviceClass.METER, ChainRules())] == [1, 203]
    # an inverter may have controls, and then it serves as a MIM
    assert [m.id for m in models_of(chain, DeviceClass.MIM, ChainRules())] == [1, 103]
    assert models_of(Chain(chain.base, chain.devices[1]), DeviceClass.MIM, ChainRules()) is None
    assert class_of(chain.models[:1]) is DeviceClass.OTHER


@pytest.mark.parametrize("order", [(103, 203), (203, 103)])
def test_inverter_and_meter_under_one_common_model_are_two_devices(order):
    contents = {
        103: ModelContent(103, {"W_SF": 0, "W": 5000, "Hz_SF": -2, "Hz": 50.0}),
        203: ModelContent(203, {"W_SF": 0, "W": -1200, "WphA": -400}),
    }
    image, chain = build_chain(
        [ModelContent(1, {"Mn": "ACME"}), *(contents[n] for n in order), ModelContent(120), ModelContent(802)]
    )
    assert [[m.id for m in models if m.id not in (120, 802)] for models in chain.devices] == [[1, n] for n in order]
    inverter, meter = models_of(chain, DeviceClass.INVERTER, ChainRules()), models_of(chain, DeviceClass.METER, ChainRules())
    assert [m.id for m in inverter] == [1, 103, 120, 802]
    ours = values_of(image, chain, register_map_of(inverter, "inverter"))
    theirs = values_of(image, chain, register_map_of(meter, "meter"))
    assert (ours["active_power.total"], ours["frequency"]) == (5000, 50.0)
    assert "active_power.L1" not in ours
    assert (theirs["active_power.total"], theirs["active_power.L1"]) == (-1200, -400)
    assert np.isnan(theirs["frequency"])


def test_a_mim_with_a_meter_built_in_is_two_devices():
    _, chain = mim(3, ModelContent(103), ModelContent(203, {"W_SF": 0, "W": 77}))
    assert {class_of(models) for models in chain.devices} == {DeviceClass.MIM, DeviceClass.METER}
    assert [m.id for m in models_of(chain, DeviceClass.METER, ChainRules())] == [1, 203]
    assert "active_power.total" not in {p.key for p in register_map_of(models_of(chain, DeviceClass.MIM, ChainRules()), "m").points}


def test_models_of_one_class_stay_together():
    _, chain = build_chain([ModelContent(1), ModelContent(103), ModelContent(113), ModelContent(802)])
    assert len(chain.devices) == 1
    _, chain = build_chain([ModelContent(1), ModelContent(203), ModelContent(213), ModelContent(802)])
    assert len(chain.devices) == 1


def test_a_model_shorter_than_its_definition_lacks_its_last_points():
    definition = definition_of(103)
    block = ModelBlock(103, 0, 48)
    paths = {p.key for p in model_map(block).points}
    everything = {leaf.path for leaf in leaves(definition, 1000, {})}
    assert everything - paths == {"EvtVnd4"}


def test_a_model_longer_than_its_definition_has_a_tail_that_nobody_reads():
    assert len(model_map(ModelBlock(103, 0, 52)).points) == len(model_map(ModelBlock(103, 0, 50)).points)


@pytest.mark.parametrize("length", [47, 48])
def test_a_legacy_model_repeats_its_group_as_often_as_its_length_allows(length):
    """Model 160: 8 registers and 20 a module; a remainder of 19 registers still holds the points that fit."""
    modules = {p.key.partition(".")[0] for p in model_map(ModelBlock(160, 0, length)).points if p.key.startswith("module")}
    assert modules == ({"module[0]", "module[1]"} if length == 48 else {"module[0]"})


def test_an_image_refuses_what_no_model_has():
    with pytest.raises(ValueError, match="no point Watts"):
        build_chain([ModelContent(203, {"Watts": 1})])
    with pytest.raises(ValueError, match="no definition"):
        build_chain([ModelContent(65000)])


def test_an_image_starts_with_nothing_implemented():
    image, chain = build_chain([ModelContent(203)])
    assert image[:4] == b"SunS"
    assert struct.unpack(">HH", image[-4:]) == (0xFFFF, 0)
    values = values_of(image, chain, register_map_of(chain.models, "m"))
    assert all(np.isnan(v) for k, v in values.items() if k != "energy_import.total")


def test_a_stray_definition_in_the_working_directory_changes_nothing(tmp_path, monkeypatch):
    (tmp_path / "model_203.json").write_text('{"id": 203, "group": {"name": "stray", "type": "group", "points": []}}')
    monkeypatch.chdir(tmp_path)
    definition_of.cache_clear()
    assert definition_of(203)["group"]["name"] == "ac_meter_abcn"
