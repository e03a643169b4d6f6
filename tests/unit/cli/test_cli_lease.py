"""`mimctl lease` and `mimctl stop` without a service: what they refuse, and what they say then."""

import pytest
from tests.site_factory import site_dict, write_site

from mimctl.cli.live import headline, in_force, lease_rows
from mimctl.service.alone import ReleasedAlone


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.setenv("MIMCTL_STATE_DIR", str(tmp_path / "state"))
    return write_site(tmp_path, site_dict())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["cap", "pdu-a1", "--for", "5 s"], "'cap' needs --max-va, --max-a or --max-export-w"),
        (["pause", "hall", "--max-a", "5"], "--max-va, --max-a and --max-export-w go with 'cap'"),
        (["lock-out", "pdu-a1", "--source", "bms"], "a lock-out has no --source"),
        (["setpoint", "mim-a1-1", "--port", "1"], "as often as each other"),
        (["setpoint", "mim-a1-1"], "'setpoint' needs --port, --w or --var"),
        (["cap", "pdu-a1", "--max-a", "nan"], "finite"),
        (["cap", "pdu-a1", "--max-a", "-5"], "--max-a"),
        (["cap", "pdu-a1", "--max-a", "5", "--for", "soon"], "--for"),
        (["fly", "mim-a1-1"], "'fly' is not one of"),
        (["form", "mim-a1-1", "--for", "1 h"], "'form' needs --bus"),
        (["pause", "hall", "--bus", "pdu-a1"], "--bus go with 'form'"),
    ],
)
def test_what_a_lease_cannot_say_is_wrong_usage(site, run_cli, arguments, says):
    kind, scope, *options = arguments
    result = run_cli("lease", "grant", site, kind, scope, *options)
    assert (result.code, result.out) == (2, "")
    assert says in result.err


def test_leases_need_a_running_service(site, run_cli):
    for arguments in (["list", site], ["grant", site, "lock-out", "pdu-a1"], ["revoke", site, "n1"]):
        result = run_cli("lease", *arguments)
        assert result.code == 3
        assert "no running service" in result.err
        assert f"mimctl run {site}" in result.err


@pytest.mark.parametrize("options", [[], ["--emergency", "--clear"]])
def test_a_stop_is_called_or_cleared(site, run_cli, options):
    assert run_cli("stop", site, *options).code == 2


def test_to_clear_wants_a_yes_and_leaves_nothing_behind(site, run_cli, tmp_path):
    assert "--yes" in run_cli("stop", site, "--clear").err
    cleared = run_cli("stop", site, "--clear", "--yes")
    assert (cleared.code, cleared.out) == (0, "hall: no emergency stop was in force\n")
    assert not (tmp_path / "state").exists()


def test_a_stop_that_cannot_be_latched_says_so(site, run_cli, tmp_path, monkeypatch):
    (tmp_path / "state").write_text("no directory")
    monkeypatch.setattr("mimctl.cli.stop_alone._release", lambda *_: ReleasedAlone(("a",), ("b", "d"), ("c",), ("d",)))
    result = run_cli("stop", site, "--emergency")
    assert result.code == 1
    assert result.out.startswith("hall: EMERGENCY STOP (no service answers here")
    assert result.out.endswith("; 1 MIMs are at rest\n")
    assert "cannot make the state directory" in result.err
    assert "could not be released: b; their validity timers end it; d: no timer ends it, the setpoint STAYS" in result.err
    assert "did not answer: c" in result.err


def test_a_state_directory_that_nobody_has_used_is_doubted(site, run_cli, tmp_path, monkeypatch):
    monkeypatch.setattr("mimctl.cli.stop_alone._release", lambda *_: ReleasedAlone(("a",), (), ()))
    first, second = (run_cli("stop", site, "--emergency") for _ in range(2))
    assert (first.code, second.code) == (1, 0)
    assert "EMERGENCY STOP is latched" in first.out
    assert f"{tmp_path / 'state' / 'hall'}: is it the right one?" in first.err


def test_what_is_shown_of_leases():
    lease = {"id": "n1", "scope": "rack1", "text": "paused", "source": "bms", "owner": "ann", "reason": "why"}
    shown = [lease_rows([{**lease, "expires_in_s": seconds}])[0][5] for seconds in (None, 59.0, 61.0, 7100.0, 7200.0, 3 * 86_400.0)]
    assert shown == ["–", "59 s", "1 min", "118 min", "2.0 h", "3.0 days"]


def test_a_stop_stands_first_in_the_headline():
    status = {"name": "Hall", "dry_run": False, "zones": {}, "emergency_stop": {"owner": "ann"}}
    assert headline(status) == "Hall · EMERGENCY STOP · 0 of 0 devices answer"


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ({}, "yes"),
        ({"overruled_by": None, "not_met": "port 1 is set to 1 W instead of 2 W: …"}, "in part: not met"),
        ({"overruled_by": {"lease": "a1", "source": "maintenance", "owner": "ann"}}, "no: a1 (maintenance) overrules it"),
        ({"overruled_by": {"lease": None, "source": "rule", "owner": "the site file"}}, "no: the site file (rule) overrules it"),
    ],
)
def test_a_lease_that_is_overruled_is_not_shown_as_in_force(told, shown):
    assert in_force(told) == shown
