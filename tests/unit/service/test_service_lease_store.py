"""What of the leases is on the disk, and what is made of a file that cannot be read."""

from __future__ import annotations

import json
import os
import stat
from datetime import timedelta

import pytest
from tests.builders import START

from mimctl.model.errors import UserError
from mimctl.model.lease import Cap, Lease, LeaseSource, LockOut, Pause, Setpoint, Stop
from mimctl.model.lease_plain import lease_plain
from mimctl.service.lease_store import LEASES_FILE, STOP_FILE, LeaseStore

HOUR = timedelta(hours=1)
LOCK = Lease("n1", LeaseSource.MAINTENANCE, "ann", "pdu", LockOut(), "fan", START, None)
CAP = Lease("n2", LeaseSource.BMS, "bms", "rack1", Cap(max_a=5.0), "", START, START + HOUR)
PAUSE = Lease("n3", LeaseSource.OPERATOR, "bob", "z", Pause(), "", START, START + HOUR)
SET = Lease("n4", LeaseSource.OPERATOR, "bob", "mim-rack1", Setpoint((1j,)), "", START, START + HOUR)
STOP = Lease("stop", LeaseSource.EMERGENCY_STOP, "ann", "test", Stop(), "smoke", START, None)


@pytest.fixture
def store(tmp_path):
    return LeaseStore(tmp_path, "test")


def again(tmp_path):
    return LeaseStore(tmp_path, "test").load(START)


def test_what_takes_away_is_kept_and_what_commands_is_not(store, tmp_path):
    assert again(tmp_path) == []
    store.keep([LOCK, SET, CAP, PAUSE])
    assert again(tmp_path) == [LOCK, CAP, PAUSE]
    store.keep([])
    assert again(tmp_path) == []


def test_nothing_is_written_while_there_is_nothing_to_keep(store, tmp_path):
    store.keep([SET])
    assert list(tmp_path.iterdir()) == []


def test_the_stop_has_a_file_of_its_own_for_its_owner_alone(store, tmp_path):
    store.keep_stop(STOP)
    store.keep([LOCK])
    assert again(tmp_path) == [LOCK, STOP]
    assert {p.name for p in tmp_path.iterdir()} == {STOP_FILE, LEASES_FILE}
    assert {stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()} == {0o600}
    store.clear_stop()
    assert again(tmp_path) == [LOCK]


def test_it_is_on_the_disk_before_the_answer(store, tmp_path, monkeypatch):
    """File, then its name in the directory: both are synced, in this order."""
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (synced.append(stat.S_ISDIR(os.fstat(handle).st_mode)), fsync(handle)))
    store.keep_stop(STOP)
    assert synced == [False, True]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"id": "stop"}', "\x00", '{"kind": "pause"}', json.dumps(lease_plain(PAUSE))])
def test_a_stop_file_stops_whatever_stands_in_it(text, store, tmp_path):
    (tmp_path / STOP_FILE).write_text(text)
    [stop] = again(tmp_path)
    assert isinstance(stop.action, Stop)
    assert stop.granted_utc == START
    assert store.in_force()


def test_a_stop_file_that_leads_nowhere_stops_too(store, tmp_path):
    (tmp_path / STOP_FILE).symlink_to(tmp_path / "gone")
    assert [lease.kind for lease in again(tmp_path)] == ["emergency_stop"]


def test_a_directory_that_cannot_be_looked_into_stops_too(store, monkeypatch):
    def denied(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "lstat", denied)
    [stop] = store.load(START)
    assert isinstance(stop.action, Stop)


def bent(text):
    return json.dumps(text) if not isinstance(text, str) else text


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"format": 1, "leases": [',
        "[]",
        "7",
        {"format": 2, "leases": []},
        {"leases": []},
        {"format": 1, "leases": 3},
        {"format": 1, "leases": [3]},
        {"format": 1, "leases": [{"id": "n1"}]},
    ],
)
def test_leases_that_cannot_be_read_stop_the_site_until_an_operator_clears_it(text, store, tmp_path):
    file = tmp_path / LEASES_FILE
    file.write_text(bent(text))
    for _ in range(2):
        [stop] = again(tmp_path)
        assert isinstance(stop.action, Stop)
        assert str(file) in stop.reason
        assert "lock out again, then clear the stop" in stop.reason
    assert store.in_force()
    store.clear_stop()
    assert again(tmp_path) == []
    assert (tmp_path / f"{LEASES_FILE}.unreadable").read_text() == bent(text)


def test_two_leases_of_one_id_are_no_file_of_ours(store, tmp_path):
    store.keep([LOCK, CAP])
    file = tmp_path / LEASES_FILE
    file.write_text(file.read_text().replace('"n2"', '"n1"'))
    assert [lease.kind for lease in again(tmp_path)] == ["emergency_stop"]


def test_a_new_lock_out_beside_an_unreadable_file_keeps_the_stop(store, tmp_path):
    (tmp_path / LEASES_FILE).write_text("{")
    [stop] = store.load(START)
    store.keep([stop, LOCK])
    assert again(tmp_path) == [LOCK, stop]


def test_what_cannot_be_written_or_removed_is_told(store, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full)
        with pytest.raises(UserError, match="No space left on device; over a restart nothing of it will hold"):
            store.keep([LOCK])
    assert again(tmp_path) == [], "the old file, whole"
    store.keep_stop(STOP)
    monkeypatch.setattr("pathlib.Path.unlink", full)
    with pytest.raises(UserError, match="the stop stays in force"):
        store.clear_stop()
    assert store.in_force()
