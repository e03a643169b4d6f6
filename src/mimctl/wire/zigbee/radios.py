"""From a link of the site file to zigpy's radio class and its configuration."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from pathlib import Path
from typing import Any

from mimctl.model.errors import MissingExtra, UserError
from mimctl.model.zigbee import RadioKind, ZigbeeRadio

#: packages whose lines hold network keys
_TALKATIVE = ("zigpy", "zigpy_znp", "bellows", "aiosqlite", "serialx")
#: only their owner reads files with keys in them
PRIVATE = 0o600


def require_zigbee() -> None:
    """Whether the extra is there.

    Raises:
        MissingExtra: one line that names it.
    """
    try:
        import bellows  # noqa: F401
        import zigpy  # noqa: F401
        import zigpy_znp  # noqa: F401
    except ImportError as error:
        raise MissingExtra("zigbee", "a link of the type zigbee") from error
    hush()


def hush() -> None:
    """No key in any log: nothing that these packages say is written, for even their errors quote what they worked on."""
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def radio_class(radio: ZigbeeRadio) -> Any:
    """The class that speaks to this kind of coordinator, guarded."""
    require_zigbee()
    from mimctl.wire.zigbee.guard import guarded
    from mimctl.wire.zigbee.sticks import ezsp_class, znp_class

    if radio.kind is RadioKind.TWIN:
        from mimctl.wire.zigbee.air_socket import SocketPort
        from mimctl.wire.zigbee.memory_radio import memory_radio

        return guarded(memory_radio(SocketPort.at(radio.device)))
    if radio.kind is RadioKind.EZSP:
        return guarded(ezsp_class())
    return guarded(znp_class())


def configuration(radio: ZigbeeRadio, database: Path) -> dict[str, Any]:
    """What zigpy is told, unchecked: it does that itself, and only once."""
    # a thread of its own for the serial port would be one more that could keep the process from ending
    own = {"use_thread": False} if radio.kind is RadioKind.EZSP else {}
    return own | {
        "device": {"path": radio.device, "baudrate": radio.baudrate, "flow_control": radio.flow_control},
        "database_path": str(database),
        # firmware for devices comes from the internet; a data centre's network ends at its wall
        "ota": {"enabled": False, "providers": []},
        "topology_scan_enabled": False,
        # another stick, or one whose network was changed elsewhere, is told and not silently used
        "validate_network_settings": True,
    }


def make_private(file: Path) -> None:
    """Create a file that only its owner can read, or take the others' rights away.

    Raises:
        OSError: it cannot be made, or belongs to somebody else.
    """
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(file, os.O_RDWR | os.O_CREAT, PRIVATE))
    file.chmod(PRIVATE)


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner can read, as a whole or not at all.

    Raises:
        UserError: it cannot be written.
    """
    part = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(text)
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UserError(f"{file}: {error.strerror}") from error


def check_database(file: Path) -> None:
    """Look at a database before zigpy does: where that fails, it leaves a thread behind that keeps the process from ending.

    Raises:
        sqlite3.DatabaseError: it is damaged, or none.
    """
    with contextlib.closing(sqlite3.connect(file, timeout=1.0)) as database:
        found = database.execute("PRAGMA quick_check(1)").fetchone()
        if found is None or found[0] != "ok":
            raise sqlite3.DatabaseError("quick_check failed")
