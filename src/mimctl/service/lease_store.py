"""What of the leases outlives the service: the emergency stop in a file of its own, and every lease that only takes away.

The stop is in force while its file is there, whatever stands in it: any process that may write into the state directory can call
it, and no damage to the file can lift it. Setpoints and formed buses are not kept: what a run was asked to command ends with
the run.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from mimctl.control.authority.leases import STOP_ID, LeaseBook
from mimctl.control.events import EventLog
from mimctl.model.clock import Clock
from mimctl.model.errors import UserError
from mimctl.model.lease import OF_THE_RUN, Lease, LeaseSource, Stop
from mimctl.model.lease_plain import lease_of, lease_plain
from mimctl.model.site import Site
from mimctl.service.state_dir import state_path

STOP_FILE = "emergency_stop.json"
LEASES_FILE = "leases.json"
#: what a file that could not be read is kept as
_ASIDE = ".unreadable"
_FORMAT = 1
_OWN = "mimctl"


class LeaseStore:
    """The two files in the state directory of one site.

    Args:
        directory: its owner's alone; where there is none, nothing was kept.
    """

    def __init__(self, directory: Path, site: str) -> None:
        self._stop, self._leases, self._site = directory / STOP_FILE, directory / LEASES_FILE, site

    def load(self, utc: datetime) -> list[Lease]:
        """What was in force when the last run ended; with an emergency stop where the files do not tell."""
        (found, trouble), stop = self._load_leases(), self.stop(utc)
        if stop is not None:
            found.append(stop)
        elif trouble:
            found.append(self._stop_for(f"{trouble}; who was locked out is not known: lock out again, then clear the stop", utc))
        return found

    def stop_called(self) -> bool:
        """Whether the file of the emergency stop is there; where that cannot be told, it counts as called."""
        return _there(self._stop)

    def in_force(self) -> bool:
        """Whether the next run would start stopped."""
        return self.stop_called() or bool(self._load_leases()[1])

    def keep_stop(self, stop: Lease) -> None:
        """From now on every run starts stopped.

        Raises:
            UserError: it could not be written.
        """
        self._write(self._stop, lease_plain(stop))

    def clear_stop(self) -> None:
        """The next run starts as usual. Leases that could not be read are put aside.

        Raises:
            UserError: it could not be removed: it stays in force.
        """
        if self._load_leases()[1]:
            self._put_aside()
        try:
            self._stop.unlink(missing_ok=True)
            _sync(self._stop.parent)
        except OSError as error:
            raise UserError(f"cannot remove {self._stop}: {error.strerror}; the stop stays in force") from error

    def keep(self, leases: Iterable[Lease]) -> None:
        """What the next run starts with, out of all leases in force.

        Raises:
            UserError: they could not be written.
        """
        everything = tuple(leases)
        if self._load_leases()[1]:
            for stop in (lease for lease in everything if isinstance(lease.action, Stop)):
                self.keep_stop(stop)  # it rests on the file that is overwritten now
            self._put_aside()
        kept = [lease_plain(lease) for lease in everything if not isinstance(lease.action, (*OF_THE_RUN, Stop))]
        if kept or _there(self._leases):
            self._write(self._leases, {"format": _FORMAT, "leases": kept})

    def _load_leases(self) -> tuple[list[Lease], str]:
        """The leases, or what is wrong with their file."""
        try:
            if not _there(self._leases):
                return [], ""
            data = json.loads(self._leases.read_text(encoding="utf-8"))
            if data["format"] != _FORMAT:
                return [], f"{self._leases} has a format of another version of mimctl"
            found = [lease_of(entry) for entry in data["leases"]]
        except (OSError, ValueError, KeyError, TypeError, UserError) as error:
            return [], f"{self._leases} cannot be read ({error})"
        twice = len({lease.id for lease in found}) < len(found)
        return ([], f"{self._leases} has two leases of one id") if twice else (found, "")

    def stop(self, utc: datetime) -> Lease | None:
        """The emergency stop of the file; None where there is none.

        Args:
            utc: when it was called, where the file does not tell.
        """
        if not self.stop_called():
            return None
        try:
            stop = lease_of(json.loads(self._stop.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, UserError):
            return self._stop_for(f"{self._stop} is there, but does not say who called it", utc)
        if stop.id == STOP_ID and isinstance(stop.action, Stop):
            return stop
        return self._stop_for(f"{self._stop} is there, but does not say who called it", utc)

    def _stop_for(self, reason: str, utc: datetime) -> Lease:
        return Lease(STOP_ID, LeaseSource.EMERGENCY_STOP, _OWN, self._site, Stop(), reason, utc, None)

    def _put_aside(self) -> None:
        with contextlib.suppress(OSError):
            self._leases.replace(self._leases.with_name(self._leases.name + _ASIDE))

    def _write(self, path: Path, data: object) -> None:
        """Whole or not at all, and on the disk when this returns; nobody else may read it."""
        draft = path.with_name(path.name + ".new")
        try:
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(data, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
            _sync(path.parent)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}; over a restart nothing of it will hold") from error


def stored_book(site: Site, clock: Clock, events: EventLog, store: LeaseStore | None = None) -> LeaseBook:
    """The lease book of a site with what outlived the last run.

    Args:
        store: None = that in the site's own state directory.
    """
    kept = store or LeaseStore(state_path(site.id), site.id)
    book = LeaseBook(site, clock, events)
    book.restore(kept.load(clock.utc()))
    return book


def _there(path: Path) -> bool:
    """Whether something bears this name; where the machine does not let us know, something does."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _sync(directory: Path) -> None:
    """A new name in a directory is on the disk when the directory is."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
