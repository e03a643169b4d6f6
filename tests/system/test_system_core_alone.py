"""Without any extra installed everything but the radios themselves works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from mimctl.model.resources import site_config

#: import names of every package that only an extra brings
_ALONE = """
import sys

class Absent:
    names = {"zigpy", "zigpy_znp", "bellows", "aiosqlite", "aiomqtt", "paho", "chirpstack_api", "grpc", "google", "uvloop"}

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
"""
_IMPORT_ALL = """
import importlib, pkgutil, mimctl
for module in pkgutil.walk_packages(mimctl.__path__, "mimctl.", onerror=lambda name: None):
    if module.name.endswith("__main__"):
        continue
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        print(module.name, error.name)
"""
_COMMAND = "from mimctl.cli.main import main; sys.exit(main(sys.argv[1:]))"
#: where the radios are: a module from elsewhere that needs an extra would take the core with it
_RADIO_ROOMS = ("mimctl.wire.zigbee.", "mimctl.wire.chirpstack.", "mimctl.drivers.zigbee_", "mimctl.drivers.lorawan_")


def alone(folder: Path, code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Code that runs where none of them can be imported."""
    home = {name: str(folder) for name in ("HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR")}
    command = [sys.executable, "-c", _ALONE + code, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=os.environ | home, capture_output=True, text=True, timeout=120, check=False)


def test_nothing_but_the_radios_imports_what_only_an_extra_brings(tmp_path: Path) -> None:
    done = alone(tmp_path, _IMPORT_ALL)
    assert done.returncode == 0, done.stderr
    failed = dict(line.split() for line in done.stdout.splitlines())
    assert failed, "zigpy at least is needed somewhere"
    assert not {name for name in failed if not name.startswith(_RADIO_ROOMS)}


def test_a_site_with_radios_can_be_simulated_without_them(tmp_path: Path) -> None:
    done = alone(tmp_path, _COMMAND, "simulate", site_config("wireless_edge"), "--hours", 0.005, "--no-optimum")
    assert done.returncode == 0, done.stderr
