"""Profiles of payloads: `profile lint` and `check` judge them as those of registers, golden vectors included."""

from pathlib import Path

import pytest

from mimctl.cli.main import main
from mimctl.config.profiles.payload_profile import find_payload_profile
from mimctl.config.profiles.zigbee_profile import find_zigbee_profile

COMMANDS = (["profile", "lint"], ["check"])


@pytest.fixture
def payloads(tmp_path: Path) -> Path:
    own = find_payload_profile("mimctl/mim")
    assert own is not None
    path = tmp_path / "device_profiles" / "lorawan" / "mimctl" / "mim.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(own.read_text(encoding="utf-8"), encoding="utf-8")
    return path


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_good_profile_of_payloads_is_fine(payloads, command, capsys):
    assert main([*command, str(payloads)]) == 0
    assert "[" not in capsys.readouterr().out


def test_lint_says_what_it_holds(payloads, capsys):
    zigbee = find_zigbee_profile("generic/plug")
    assert main(["profile", "lint", str(payloads), str(zigbee)]) == 0
    out = capsys.readouterr().out
    assert f"{payloads}: fine (3 uplinks; 4 golden vectors with 48 values; 2 of commands)" in out
    assert f"{zigbee}: fine (5 attributes; 2 golden vectors with 10 values)" in out


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("soc: 60.5", "soc: 61.5", "tests[0].expect.soc"),
        ("hex: 21 ff 0384", "hex: 21 ff 0385", "command_tests[0].hex"),
        ("sequence: 255, validity: 900, ", "sequence: 255, ", "command_tests[0].values"),
    ],
)
def test_a_wrong_golden_vector_has_its_line_and_fails(payloads, command, old, new, path, capsys):
    change(payloads, old, new)
    assert main([*command, str(payloads)]) == 1
    line = next(line for line in capsys.readouterr().out.splitlines() if "[profile.vector]" in line)
    assert path in line
    assert line.startswith(f"{payloads}:")


@pytest.mark.parametrize("command", COMMANDS)
def test_setpoints_without_golden_vectors_are_warned_of(payloads, command, capsys):
    text = payloads.read_text(encoding="utf-8")
    payloads.write_text(text[: text.index("command_tests:")], encoding="utf-8")
    assert main([*command, str(payloads)]) == 0
    assert "work some out by hand and give them as 'command_tests' [profile.command_test]" in capsys.readouterr().out


def test_a_site_is_refused_whose_profile_does_not_give_its_golden_values(payloads, tmp_path, capsys):
    change(payloads, "soc: 60.5", "soc: 61.5")
    own = Path(__file__).parents[3] / "site_configs" / "wireless_edge.yaml"
    site = tmp_path / "site.yaml"
    site.write_text(own.read_text(encoding="utf-8"), encoding="utf-8")
    assert main(["check", str(site)]) == 1
    assert "tests[0].expect.soc: 'full frame, one port" in capsys.readouterr().out


def test_the_schema_of_payload_profiles_is_printed(capsys):
    assert main(["schema", "payload-profile"]) == 0
    assert '"title": "mimctl profile of payloads"' in capsys.readouterr().out
