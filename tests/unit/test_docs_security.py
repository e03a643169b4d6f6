"""The page on security says what the code does: files, modes, codes of problems."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from mimctl.control.authority.leases import STOP_ID
from mimctl.drivers.write_budget import FileBudget
from mimctl.model.lease import Lease, LeaseSource, LockOut, Stop
from mimctl.service.door import Door
from mimctl.service.lease_store import LEASES_FILE, STOP_FILE, LeaseStore
from mimctl.service.links import BUDGET_FILE
from mimctl.service.reliance_store import RELIANCE_FILE
from mimctl.service.state_dir import site_lock, socket_path, state_directory

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "explanation" / "security.md").read_text(encoding="utf-8")
UTC_NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def open_umask() -> Iterator[None]:
    """Nothing is private because of whoever starts the service."""
    before = os.umask(0)
    yield
    os.umask(before)


def stated() -> dict[str, str]:
    """Each file of the state directory that the page names, and its mode in the page's words."""
    rows = re.findall(r"^\| `([^`]+)` \| ((?:0\d{3}|of the umask)[^|]*) \|", PAGE, flags=re.MULTILINE)
    return dict(rows)


async def test_the_files_of_a_state_directory_are_those_of_the_page_with_their_modes(tmp_path: Path, open_umask: None) -> None:
    directory = state_directory("s", tmp_path)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    store = LeaseStore(directory, "s")
    store.keep([Lease("lock-1", LeaseSource.MAINTENANCE, "o", "s", LockOut(), "r", UTC_NOW, None)])
    store.keep_stop(Lease(STOP_ID, LeaseSource.EMERGENCY_STOP, "o", "s", Stop(), "r", UTC_NOW, None))
    for name in (BUDGET_FILE, RELIANCE_FILE):
        FileBudget(directory / name).keep(date(2026, 1, 1), {"x": 1})
    door = Door(socket_path(directory), {})
    await door.open()
    try:
        with site_lock(directory, "s"):
            found = {file.name: stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()}
    finally:
        await door.close()
    said = {name: mode for name, mode in stated().items() if not name.startswith("zigbee-")}
    assert set(found) == set(said) >= {STOP_FILE, LEASES_FILE}
    assert {name for name, mode in found.items() if mode == 0o600} == {
        name for name, mode in said.items() if mode.startswith("0600")
    }


def test_the_database_of_a_coordinator_is_private(tmp_path: Path, open_umask: None) -> None:
    from mimctl.wire.zigbee.radios import make_private

    assert stated()["zigbee-<link>.db"] == "0600"
    make_private(tmp_path / "zigbee-zb.db")
    assert stat.S_IMODE((tmp_path / "zigbee-zb.db").stat().st_mode) == 0o600


def test_every_code_that_the_page_names_is_one_of_the_code() -> None:
    source = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "src").rglob("*.py"))
    codes = set(re.findall(r"`((?:link|lorawan|zigbee)\.[a-z_]+)`", PAGE))
    assert len(codes) >= 7
    assert [code for code in sorted(codes) if f'"{code}"' not in source] == []


def test_no_other_place_of_the_service_listens_on_a_network() -> None:
    """The page says that the socket is the only door: servers belong to the twin's side of the wire."""
    at = {
        str(f.relative_to(ROOT / "src"))
        for f in (ROOT / "src").rglob("*.py")
        if re.search(r"(start|create)_server\(", f.read_text("utf-8"))
    }
    assert at == {"mimctl/wire/rtu_server.py", "mimctl/wire/modbus_server.py", "mimctl/wire/zigbee/air_socket.py"}
