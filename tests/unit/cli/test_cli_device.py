"""`mimctl device` without devices: dumps as tables and JSON, what watching prints, what a write asks for."""

import json
import struct

import click
import pytest

from mimctl.cli import device_watch
from mimctl.cli.device_view import change_lines, changed_points, row, shown
from mimctl.cli.device_write import agreed, show_write, wishes_of
from mimctl.cli.main import main
from mimctl.model.errors import LinkTimeout
from mimctl.wire.dump import RegisterDump, as_json, blocks_of
from mimctl.wire.sunspec_image import ModelContent, build_chain


@pytest.fixture
def dump(tmp_path):
    image, _ = build_chain([ModelContent(1, {"Mn": "ACME", "SN": "7"}), ModelContent(103, {"W": 1250.0, "W_SF": 0, "St": 4.0})])
    words = dict(enumerate(struct.unpack(f">{len(image) // 2}H", image), 40000))
    file = tmp_path / "inverter.json"
    file.write_text(json.dumps(as_json(RegisterDump(blocks_of({(3, 3): words})))))
    return file


def test_a_dump_is_shown_as_a_table(dump, capsys):
    assert main(["device", "read", "--dump", str(dump), "--raw", "--all"]) == 0
    out = capsys.readouterr().out
    assert "unit 3: inverter, map sunspec, unit 3, good" in out
    assert "manufacturer ACME" in out
    lines = [line.split() for line in out.splitlines()]
    assert ["active_power.total", "1250", "W", "good", "3:40084", "04e2"] in lines
    assert ["model103.St", "4", "(MPPT)", "good", "3:40108", "0004"] in lines


def test_as_json_every_point_has_value_unit_and_quality(dump, capsys):
    assert main(["device", "read", "--dump", str(dump), "--unit", "3", "--json", "-"]) == 0
    (device,) = json.loads(capsys.readouterr().out)["devices"]
    points = {p["point"]: p for p in device["points"]}
    assert (points["active_power.total"]["value"], points["active_power.total"]["unit"]) == (1250.0, "W")
    assert (points["frequency"]["value"], points["frequency"]["quality"]) == (None, "bad")
    assert {p["quality"] for p in device["points"]} == {"good", "bad"}


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--profile", "acme/none"], 1, "'acme/none'"),
        (["--unit", "9"], 1, "no unit 9; it has 3"),
        (["site.yaml"], 2, "either SITE and DEVICE or --dump"),
    ],
)
def test_what_does_not_fit_together_is_said(dump, capsys, arguments, code, says):
    assert main(["device", "read", "--dump", str(dump), *arguments]) == code
    assert says in capsys.readouterr().err


def test_options_of_dumps_need_a_dump(capsys):
    assert main(["device", "read", "site.yaml", "m", "--unit", "1"]) == 2
    assert "go with --dump" in capsys.readouterr().err


def reading(**values):
    always = {"unit": "W", "meaning": None, "address": 7, "function": 3, "registers": [1, None]}
    always["places"] = [{"function": 3, "address": 7, "count": 2}]
    points = [{"point": k, "value": v, "quality": "bad" if v is None else "good", **always} for k, v in values.items()]
    return {"device": "m", "quality": "good", "age_s": 0.25, "points": points}


def test_numbers_are_shown_as_they_are_read():
    def text(value, meaning=None):
        return shown({"value": value, "meaning": meaning})

    assert [text(None), text("ACME"), text(123456789.0), text(80.54000091552734)] == ["-", "ACME", "123456789", "80.54"]
    assert text(4.0, "MPPT") == "4 (MPPT)"
    device = reading(a=1.0)
    assert row(device, device["points"][0], raw=True) == ["a", "1", "W", "good", "0.2", "3:7", "0001 ????"]


def test_what_has_changed_is_found():
    before, now = reading(a=1.0, b=2.0, c=3.0), reading(a=1.0, b=2.5, c=None)
    assert changed_points(None, now) == frozenset()
    assert changed_points(before, now) == {"b", "c"}
    assert change_lines(now, frozenset({"b"}), "t") == ["t  b  2.5  W  good"]


def test_watching_prints_everything_once_then_changes_and_outlives_silence(capsys, monkeypatch):
    answers = iter([reading(a=1.0, b=2.0), LinkTimeout("m", "no answer"), reading(a=1.0, b=3.0), reading(a=1.0, b=3.0)])
    now = [100.0]
    monkeypatch.setattr(device_watch.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(device_watch.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))

    def read():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    device_watch.watch_device(read, 1.0, 4.0, raw=False)
    out, err = capsys.readouterr()
    assert [line.split()[1:3] for line in out.splitlines()] == [["a", "1"], ["b", "2"], ["b", "3"]]
    assert "m: no answer" in err
    assert next(answers, None) is None


@pytest.mark.parametrize(
    ("ports", "watts", "vars_"),
    [((), (), ()), ((1,), (), ()), ((1, 2), (5.0,), ()), ((1, 2), (5.0, 6.0), (1.0,)), ((1, 1), (5.0, 6.0), ())],
)
def test_ports_and_powers_must_pair_up(ports, watts, vars_):
    with pytest.raises(click.UsageError):
        wishes_of(ports, watts, vars_)


def test_a_wish_is_a_port_with_its_powers():
    assert wishes_of((1, 3), (5.0, -6.0), ()) == [{"port": 1, "w": 5.0, "var": 0.0}, {"port": 3, "w": -6.0, "var": 0.0}]


@pytest.mark.parametrize(
    ("applied", "action", "error", "says"),
    [
        (True, "send", None, "written; stands for 30 s"),
        (False, "send", None, "--yes writes it"),
        (False, "send", "timed out", "nothing was written: timed out"),
        (False, "nothing", None, "no setpoint would be written"),
    ],
)
def test_the_outcome_of_a_write_is_told(capsys, applied, action, error, says):
    port = {"port": 1, "node": "rack", "connection": "L1", "wanted_w": 500.0, "wanted_var": 0.0, "setpoint_w": 400.0}
    judgement = {"verdict": "scaled", "code": "limit.port_rating", "text": "too much"}
    told = {"mim": "m", "applied": applied, "action": action, "outcome": None if error is None else {"error": error}}
    show_write({**told, "ports": [{**port, "setpoint_var": None}], "judgements": [judgement]}, 30.0, None)
    out, err = capsys.readouterr()
    assert says in (err if error is not None else out + err)
    assert "judge: scaled: too much (limit.port_rating)" in out


@pytest.mark.parametrize(
    ("action", "verdict", "code", "agrees", "says"),
    [
        ("send", "scaled", "limit.step", True, "--yes writes it"),
        ("refresh", None, "", True, "--yes writes it"),
        ("refresh", "refused", "plan.unbalanced", False, "leave a port out"),
        ("nothing", None, "", False, "no setpoint would be written now"),
    ],
)
def test_a_preview_says_whether_the_judge_agrees(capsys, action, verdict, code, agrees, says):
    judgements = [] if verdict is None else [{"verdict": verdict, "text": "why", "code": code}]
    told = {"mim": "m", "action": action, "judgements": judgements, "ports": [], "applied": False, "outcome": None}
    assert agreed(told) is agrees
    show_write(told, 30.0, None)
    out, err = capsys.readouterr()
    assert says in (out if agrees else err)


def test_a_port_that_is_not_met_says_why(capsys):
    port = {"port": 2, "node": "rack", "connection": "L2", "wanted_w": 500.0, "wanted_var": 0.0, "setpoint_w": 400.0}
    why = {"code": "limit.port_rating", "text": "the port may give 400 VA now"}
    told = {"mim": "m", "applied": True, "action": "send", "outcome": None, "judgements": []}
    show_write({**told, "ports": [{**port, "setpoint_var": 0.0, "met": False, "why_not": why}]}, 30.0, None)
    out = capsys.readouterr().out
    assert "port 2 is not met: the port may give 400 VA now (limit.port_rating)" in out
    assert "m: written, as far as it goes; stands for 30 s" in out
