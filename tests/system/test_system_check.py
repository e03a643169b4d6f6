"""`mimctl check` and `mimctl schema` as processes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from site_factory import site_dict, write_site

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "site_configs" / "demo.yaml"


def mimctl(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mimctl", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_fine_site():
    done = mimctl("check", DEMO)
    assert (done.returncode, done.stderr) == (0, "")
    contents = r"\(24 MIMs, 6 PDUs, 24 racks, 32 nodes, 32 meters, 2 batteries, 2 zones\)"
    assert re.fullmatch(rf"{DEMO}: fine {contents}\ncontrol of 2 zones: .+\n", done.stdout)
    assert "reports may be 5 s old (margin 4 s)" in done.stdout  # 5 s by default, of which a cycle passes in any case


def test_every_problem_has_its_line_and_the_exit_code_says_so(tmp_path):
    data = site_dict(racks=2)
    data["mims"][1]["link"] = "gw-pdu-a"
    data["nodes"][2]["ratin"] = data["nodes"][2].pop("rating")
    data["nodes"][3]["rating"] = "80 A"
    path, target = write_site(tmp_path, data), tmp_path / "problems.json"
    done = mimctl("check", path, "--json", target)
    assert done.returncode == 1
    *lines, summary = done.stdout.splitlines()
    assert summary == f"{path}: 2 errors, 1 warning"
    assert len(lines) == 3
    assert all(re.match(rf"{path}:\d+:\d+ \S+: .+ \[[a-z_.]+\]", line) for line in lines)
    problems = json.loads(target.read_text())["problems"]
    assert list(problems[0]) == ["file", "line", "column", "path", "code", "severity", "message"]
    text = path.read_text().splitlines()
    assert {(p["code"], text[p["line"] - 1][p["column"] - 1 :]) for p in problems} == {
        ("key.unknown", "ratin: 32 A"),
        ("rating.child_larger", "80 A"),
        ("reference.unknown", "gw-pdu-a"),
    }


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "file.empty"), (b"a: [1\n", "yaml.syntax"), (b"\x00\x01\x02", "file.binary"), (None, "file.missing")],
)
def test_what_is_no_site_file_is_one_line(tmp_path, content, code):
    path = tmp_path / "site.yaml"
    if content is not None:
        path.write_bytes(content)
    done = mimctl("check", path)
    assert (done.returncode, done.stderr) == (1, "")
    line, summary = done.stdout.splitlines()
    assert line.startswith(f"{path}:")
    assert re.fullmatch(rf"{path}:\d+:\d+ \(file\): .+ \[{code}\]", line)
    assert summary == f"{path}: 1 error"


def test_standard_output_holds_json_alone_when_asked(tmp_path):
    done = mimctl("check", DEMO, tmp_path, "--json", "-")
    assert done.returncode == 1
    assert [p["code"] for p in json.loads(done.stdout)["problems"]] == ["file.directory"]
    assert "fine" in done.stderr


def test_the_judge_has_its_say_at_the_place_in_the_file(tmp_path):
    data = site_dict(racks=2)
    del data["meters"][2]
    data["feeds"][0]["reverse_power_limit_w"] = 500
    path = write_site(tmp_path, data)
    done = mimctl("check", path)
    assert done.returncode == 0
    reverse, unseen, summary, *_ = done.stdout.splitlines()
    text = path.read_text().splitlines()
    for line, code, place in ((reverse, "safety.reverse_power", "500"), (unseen, "safety.load_unseen", "- L1")):
        assert f"[{code}] warning" in line
        assert place in text[int(line.split(":")[1]) - 1]
    assert "fine but for 2 warnings" in summary


def test_golden_values_that_a_profile_of_the_site_does_not_give_are_errors(tmp_path):
    own = tmp_path / "device_profiles" / "schneider" / "iem3155.yaml"
    own.parent.mkdir(parents=True)
    text = (ROOT / "device_profiles" / "schneider" / "iem3155.yaml").read_text(encoding="utf-8")
    wrong, bent = re.subn(r"(voltage\.L1: )([0-9.]+)", r"\g<1>1\g<2>", text)
    assert bent
    own.write_text(wrong, encoding="utf-8")
    data = site_dict(racks=2)
    data["meters"][0]["profile"] = "schneider/iem3155"
    done = mimctl("check", write_site(tmp_path, data))
    assert done.returncode == 1
    assert re.search(rf"^{own}:\d+:\d+ tests\[0\]\S+voltage\.L1: .+ \[profile\.vector\]$", done.stdout, re.MULTILINE)
    assert "1 error" in done.stdout.splitlines()[-1]


def test_many_problems_of_a_kind_are_counted(tmp_path):
    data = site_dict(racks=120)
    for mim in data["mims"]:
        mim["link"] = "gw-none"
    path, target = write_site(tmp_path, data), tmp_path / "problems.json"
    *lines, rest, summary = mimctl("check", path, "--json", target).stdout.splitlines()
    assert len(lines) == 50
    assert rest == "… and 70 more of this kind [reference.unknown]; --all shows them"
    assert summary == f"{path}: 120 errors"
    assert len(json.loads(target.read_text())["problems"]) == 120
    assert len(mimctl("check", path, "--all").stdout.splitlines()) == 121


def test_an_empty_file_name_is_a_slip_of_the_command_line():
    done = mimctl("check", "")
    assert done.returncode == 2
    assert "the name of the file is empty" in done.stderr


def test_a_profile_may_be_checked_alone(tmp_path):
    good = ROOT / "device_profiles" / "schneider" / "iem3155.yaml"
    bad = tmp_path / "iem3155.yaml"
    bad.write_text(good.read_text(encoding="utf-8").replace("vendor:", "vendr:"), encoding="utf-8")
    done = mimctl("check", good, bad)
    assert done.returncode == 1
    first, second, third = done.stdout.splitlines()
    assert first == f"{good}: fine (a device profile)"
    assert second.startswith(f"{bad}:")
    assert "(did you mean 'vendor'?)" in second
    assert third == f"{bad}: 1 error"


@pytest.mark.parametrize("kind", ["site", "profile"])
def test_schema_is_json_schema(tmp_path, kind):
    target = tmp_path / "schema.json"
    done = mimctl("schema", kind, "--json", target)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    schema = json.loads(target.read_text())
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    assert all("$ref" in value or value.get("description") for value in schema["properties"].values())


def test_help_shows_an_example():
    for name in ("check", "schema"):
        assert f"Example:  mimctl {name} " in mimctl(name, "--help").stdout


def test_checking_does_not_load_what_it_does_not_need():
    code = (
        "import sys; from mimctl.config.site import load_site; from pathlib import Path; load_site(Path(sys.argv[1]));"
        "print(sorted({'numpy', 'scipy', 'clarabel', 'power_grid_model', 'pymodbus', 'sunspec2', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(DEMO)], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
