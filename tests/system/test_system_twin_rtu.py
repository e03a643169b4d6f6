"""`mimctl twin` with a serial link and one of RTU frames over TCP: other makers read it, and `mimctl demo` balances over it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import sunspec2.device
import sunspec2.modbus.client as sunspec
import yaml
from pymodbus.client import ModbusTcpClient
from pymodbus.framer import FramerType
from tests.system.twin_process import ready

from mimctl.model.resources import data_root
from site_factory import site_dict

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(autouse=True)
def _vendor_models() -> None:
    sunspec2.device.set_model_defs_path([str(data_root() / "device_profiles/sunspec/models"), sunspec2.device.models_dir])


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Feed meter on a serial bus; PDU, racks and MIMs behind RTU over TCP."""
    data = site_dict(racks=3)
    bus, gateway = data["links"]
    del bus["host"], bus["port"]
    bus.update(type="modbus_rtu", device=str(tmp_path / "bus"), baudrate=115200)
    gateway.update(type="modbus_rtu_tcp")
    path = tmp_path / "site.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return path


def test_other_makers_read_devices_on_a_serial_port_and_over_tcp(start_mimctl: Start, site: Path, tmp_path: Path) -> None:
    file = tmp_path / "twin.json"
    process = start_mimctl("twin", site, "--free-ports", "--json", file)
    served = ready(process, file)["links"]
    port = served["gw-feed-a"]["device"]
    device = sunspec.SunSpecModbusClientDeviceRTU(slave_id=1, name=port, baudrate=115200, parity="N", timeout=5)
    device.scan()
    models = {model.model_id: model.get_dict(computed=True) for model in device.model_list}
    device.close()
    assert models[1]["Mn"] == "mimctl"
    assert (models.get(203) or models[213])["PhVphA"] == pytest.approx(230, abs=12)
    gateway = served["gw-pdu-a1"]
    with ModbusTcpClient(gateway["host"], port=gateway["port"], framer=FramerType.RTU, timeout=5) as client:
        mark = client.read_holding_registers(40000, count=2, device_id=1).registers
        assert mark == [0x5375, 0x6E53]
        assert client.read_holding_registers(40000, count=2, device_id=11).registers == mark


def test_the_twin_is_found_at_the_port_that_the_site_file_names(start_mimctl: Start, site: Path, tmp_path: Path) -> None:
    file = tmp_path / "twin.json"
    process = start_mimctl("twin", site, "--json", file)
    assert ready(process, file)["links"]["gw-feed-a"] == {"device": str(tmp_path / "bus")}
    assert (tmp_path / "bus").is_char_device()
    process.terminate()
    out, _ = process.communicate(timeout=20)
    assert str(tmp_path / "bus") in out
    assert not (tmp_path / "bus").is_symlink()


def test_demo_balances_over_both(start_mimctl: Start, site: Path, tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    process = start_mimctl("demo", site, "--seconds", "13", "--json", file)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    result = json.loads(file.read_text())
    assert [event for event in result["status"]["events"] if event["code"].startswith("device.")] == []
    assert result["cycles"]["controlled"] >= 1
