"""`mimctl profile`: lint with places and golden vectors, show, list."""

import json

import pytest

from mimctl.cli.main import main

GOOD = """\
schema: 1
id: acme/m1
vendor: ACME
models: [M1]
class: meter
provenance: {source: by hand, confidence: high}
conventions: {active_power: load_positive}
points:
  voltage.L1: {address: 10, type: uint16, scale: 0.1, unit: V}
tests:
  - name: one
    image: [{address: 10, hex: "0901"}]
    expect: {voltage.L1: 230.5}
"""

CHAIN = """\
conventions: {active_power: load_positive, reactive_power: inductive_load_positive}
sunspec:
  bases: [40000]
  models: [203]
"""


@pytest.fixture
def profile(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "device_profiles" / "acme" / "m1.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(GOOD)
    return path


def test_a_good_profile_is_fine(profile, capsys):
    assert main(["profile", "lint", str(profile)]) == 0
    assert "fine (1 points; 1 golden vectors with 1 values)" in capsys.readouterr().out


def test_a_wrong_golden_value_has_its_line_and_fails(profile, capsys):
    profile.write_text(GOOD.replace("{voltage.L1: 230.5}", "{voltage.L1: 231}"))
    assert main(["profile", "lint", str(profile)]) == 1
    out = capsys.readouterr().out
    assert f"{profile}:13:26 tests[0].expect.voltage.L1: one: gives 230.5, expected 231 [profile.vector]" in out
    assert "1 golden value is wrong" in out


def test_an_id_in_place_of_a_file_is_told_where_it_belongs(capsys):
    assert main(["profile", "lint", "liebert/sts2"]) == 1
    assert "liebert/sts2: 1 problem; `lint` takes a file, `show` a file or an id" in capsys.readouterr().out


def test_every_problem_of_every_file_is_shown(profile, tmp_path, capsys):
    profile.write_text(GOOD.replace("vendor:", "vendr:"))
    target = tmp_path / "problems.json"
    assert main(["profile", "lint", str(profile), str(tmp_path / "none.yaml"), "--json", str(target)]) == 1
    out = capsys.readouterr().out
    assert "did you mean 'vendor'" in out
    assert "there is no such file" in out
    assert {p["code"] for p in json.loads(target.read_text())["problems"]} == {"key.unknown", "file.missing"}


def test_show_tells_points_setpoints_provenance_and_gaps(capsys):
    assert main(["profile", "show", "victron/gx"]) == 0
    out = capsys.readouterr().out
    for words in (
        "active_power.port1",
        "setpoint_active_power.port3",
        "failsafe: repeat after 60 s",
        "confidence: high",
        "not known:",
    ):
        assert words in out


def test_show_tells_what_means_no_value_and_which_register_comes_first(capsys):
    assert main(["profile", "show", "huawei/sun2000_meter"]) == 0
    assert "no value: 0x7FFFFFFF" in capsys.readouterr().out
    assert main(["profile", "show", "sungrow/sh"]) == 0
    assert "low word first" in capsys.readouterr().out
    assert main(["profile", "show", "sungrow/sh", "--json", "-"]) == 0
    points = {p["key"]: p for p in json.loads(capsys.readouterr().out)["points"]}
    assert (points["dc_power"]["word_order"], points["status"]["names"]) == ("lsw", {"1": "charging", "2": "discharging"})


def test_show_tells_what_is_taken_from_a_chain_and_what_beside_it(capsys):
    assert main(["profile", "show", "fronius/gen24"]) == 0
    out = capsys.readouterr().out
    for words in (
        "measured by model: 113, 103",
        "its manufacturer: Fronius*",
        "0 is no value: voltage, frequency",
        "commanded by model: 124, 123",
    ):
        assert words in out
    assert "module[3].DCW" in out
    assert main(["profile", "show", "solaredge/storedge"]) == 0
    assert "beside the chain" in capsys.readouterr().out
    assert main(["profile", "show", "kostal/plenticore_sunspec", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["sunspec"]["controls"] == [{"model": 123, "single": True}]


def test_lint_and_check_judge_a_profile_of_a_chain(tmp_path, capsys):
    path = tmp_path / "acme" / "m2.yaml"
    path.parent.mkdir()
    path.write_text(GOOD.partition("conventions")[0].replace("m1", "m2") + CHAIN)
    assert main(["profile", "lint", str(path)]) == 0
    assert "fine (models 203; 0 golden vectors with 0 values)" in capsys.readouterr().out
    path.write_text(path.read_text() + '  points: {soc: {model: 160, point: "modul[0].DCW"}}\n')
    for command in (["profile", "lint"], ["check"]):
        assert main([*command, str(path)]) == 1
        assert ":11:37 sunspec.points.soc.point: model 160 has no point" in capsys.readouterr().out


def test_show_as_json_is_plain_data(capsys):
    assert main(["profile", "show", "sungrow/sh", "--json", "-"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["id"] == "sungrow/sh"
    assert shown["setpoints"]["failsafe"] == "none"
    assert [c["role"] for c in shown["setpoints"]["order"]] == ["switch", "direction", "active_power"]
    assert {"battery_power", "soc"} <= {p["key"] for p in shown["points"]}


def test_a_misspelt_id_is_one_line_with_what_was_meant(capsys):
    assert main(["profile", "show", "victron/gy"]) == 1
    assert "did you mean 'victron/gx'?" in capsys.readouterr().err


def test_list_holds_those_beside_and_those_that_come_with_mimctl(profile, capsys):
    assert main(["profile", "list", "--json", "-"]) == 0
    ids = [p["id"] for p in json.loads(capsys.readouterr().out)["profiles"]]
    assert {"acme/m1", "schneider/bcpme"} <= set(ids)
    assert ids == sorted(ids)


def test_one_broken_profile_does_not_hide_the_others(profile, capsys):
    profile.write_text("points: [")
    assert main(["profile", "list"]) == 1
    captured = capsys.readouterr()
    assert "victron/gx" in captured.out
    assert "acme" in captured.err
