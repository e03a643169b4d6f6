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
    command = [sys.executable, "-m", "mimctl.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_fine_site():
    done = mimctl("check", DEMO)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(rf"{DEMO}: fine \(24 MIMs, 6 PDUs, 24 racks, 32 nodes, 32 meters, 2 batteries, 2 zones\)\n", done.stdout)


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
    assert line.endswith(f"[{code}]")
    assert summary == f"{path}: 1 error"


def test_standard_output_holds_json_alone_when_asked(tmp_path):
    done = mimctl("check", DEMO, tmp_path, "--json", "-")
    assert done.returncode == 1
    assert [p["code"] for p in json.loads(done.stdout)["problems"]] == ["file.directory"]
    assert "fine" in done.stderr


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
