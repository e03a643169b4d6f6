"""The edge hall with other radios: what radio law cannot carry is refused, with what would mend it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

SITE = Path(__file__).resolve().parents[3] / "site_configs" / "wireless_edge.yaml"


@pytest.fixture
def checked(tmp_path, run_cli):
    def check(command_s: float, report_s: float, **radio: Any):
        content = yaml.safe_load(SITE.read_text())
        (link,) = (each for each in content["links"] if each["id"] == "lora")
        link["lorawan"].pop("multicast", None)  # each MIM is told by itself
        link["lorawan"] |= radio
        for mim in content["mims"]:
            if mim["link"] == "lora":
                mim["latency"] |= {"command_every": f"{command_s} s", "report_every": f"{report_s} s"}
        file = tmp_path / "site.yaml"
        file.write_text(yaml.safe_dump(content))
        return run_cli("check", file)

    return check


@pytest.mark.parametrize(
    ("command_s", "report_s", "radio", "says"),
    [
        # 8 · 226.3 ms each 15 s are 12.1 %; at 10 % they take 18.1 s
        (15, 600, {}, "12.1% of the time of the gateway, radio law allows 10%: command them each 18 s"),
        # 97.5 ms each 60 s and each 10 s are 1.14 %
        (10, 60, {"gateways": 2}, "take 1.1% of the time of a device, radio law allows 1%: report and command more seldom"),
        # 1646.6 ms at SF12: 8 of them each 60 s are 22.0 %, of two gateways 11.0 %
        (60, 600, {"downlink_dr": 0, "gateways": 2}, "11.0% of the time of each gateway"),
        # 370.7 ms at SF12 and 500 kHz: 8 of them each 5 s are 59 %
        (5, 60, {"region": "US915", "uplink_dr": 3, "downlink_dr": 8}, "59.3% of the time of the gateway, it can send and still"),
    ],
)
def test_a_period_that_the_air_cannot_carry_is_refused(checked, command_s, report_s, radio, says):
    result = checked(command_s, report_s, **radio)
    assert result.code == 1
    assert "[lorawan.air]" in result.err + result.out
    assert says in result.err + result.out


@pytest.mark.parametrize(
    ("command_s", "report_s", "radio", "says"),
    [
        (
            60,
            60,
            {},
            "setpoints 226 ms at DR3, 3.02% of the gateway (10% by law); reports 98 ms at DR5, 0.33% of a device (1% by law)",
        ),
        (19, 600, {}, "9.53% of the gateway (10% by law)"),
        # 102.7 ms at SF10 and 500 kHz
        (60, 60, {"region": "US915", "uplink_dr": 1, "downlink_dr": 10}, "1.37% of the gateway (50% so that it still hears)"),
    ],
)
def test_a_period_that_it_can_carry_has_its_budget_printed(checked, command_s, report_s, radio, says):
    result = checked(command_s, report_s, **radio)
    assert result.code == 0, result.err
    assert says in result.out
