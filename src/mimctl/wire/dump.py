"""Register dumps: what a device's registers held at one time, as a file that decodes and replays as the device itself would.

`docs/reference/dump-format.md` describes the file.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mimctl.model.errors import DeviceRefusal, LinkTimeout, UserError
from mimctl.wire.transport import READ_HOLDING, READ_INPUT, WRITE_MULTIPLE

FORMAT = "mimctl register dump"
VERSION = 1
_ILLEGAL_FUNCTION, _ILLEGAL_ADDRESS = 1, 2
#: registers of the widest number: a shorter read asks for one value, and one that is not known is refused
_ONE_VALUE = 4

#: register values by (unit, function), then by address
Words = Mapping[tuple[int, int], Mapping[int, int]]


@dataclass(frozen=True, slots=True)
class DumpBlock:
    """Consecutive registers of one unit.

    Args:
        function: 3 for holding, 4 for input registers.
        start: 0-based wire address of the first.
        words: None = not known.
    """

    unit: int
    function: int
    start: int
    words: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class RegisterDump:
    """One dump file.

    Args:
        profile: which register map it was taken with: `sunspec` or the id of a profile; None = not said.
        taken_at: ISO 8601 text.
        note: for people.
        redacted: what was taken out, one text each.
    """

    blocks: tuple[DumpBlock, ...]
    profile: str | None = None
    taken_at: str | None = None
    note: str = ""
    redacted: tuple[str, ...] = ()

    @property
    def units(self) -> tuple[int, ...]:
        return tuple(sorted({block.unit for block in self.blocks}))

    def words(self) -> dict[tuple[int, int], dict[int, int]]:
        """Every known register. Of two blocks that hold the same one, the later counts."""
        found: dict[tuple[int, int], dict[int, int]] = {}
        for block in self.blocks:
            space = found.setdefault((block.unit, block.function), {})
            space.update({block.start + n: word for n, word in enumerate(block.words) if word is not None})
        return found


def blocks_of(words: Words) -> tuple[DumpBlock, ...]:
    """The registers as runs without holes."""
    found: list[DumpBlock] = []
    for (unit, function), space in sorted(words.items()):
        run: list[int] = []
        for address in sorted(space):
            if run and address != run[-1] + 1:
                found.append(DumpBlock(unit, function, run[0], tuple(space[a] for a in run)))
                run = []
            run.append(address)
        if run:
            found.append(DumpBlock(unit, function, run[0], tuple(space[a] for a in run)))
    return tuple(found)


def as_json(dump: RegisterDump) -> dict[str, Any]:
    """What stands in the file."""
    blocks = [
        {"unit": b.unit, "function": b.function, "start": b.start, "count": len(b.words), "words": list(b.words)}
        for b in dump.blocks
    ]
    head = {"format": FORMAT, "version": VERSION, "taken_at": dump.taken_at, "profile": dump.profile, "note": dump.note}
    return {**head, "redacted": list(dump.redacted), "blocks": blocks}


def load_dump(path: Path) -> RegisterDump:
    """Read a dump file.

    Raises:
        UserError: it cannot be read or is no dump; the message names the place.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a text file") from error
    try:
        return dump_of(json.loads(text))
    except (json.JSONDecodeError, RecursionError) as error:
        raise UserError(f"{path}: not JSON: {error}") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def dump_of(data: Any) -> RegisterDump:
    """A dump from what its JSON holds.

    Raises:
        UserError: something in it is wrong.
    """
    if not isinstance(data, dict) or not isinstance(data.get("blocks"), list):
        raise UserError("not a register dump: an object with a list 'blocks' is needed")
    if data.get("format", FORMAT) != FORMAT:
        raise UserError(f"format is {data['format']!r}, not {FORMAT!r}")
    version = data.get("version", VERSION)
    if version != VERSION:
        raise UserError(f"version {version!r} of the format is not known; this is mimctl for version {VERSION}")
    blocks = tuple(_block(block, data, f"blocks[{n}]") for n, block in enumerate(data["blocks"]))
    if not blocks:
        raise UserError("blocks: the dump holds no registers")
    texts = {name: data.get(name) for name in ("profile", "taken_at", "note")}
    for name, value in texts.items():
        if value is not None and not isinstance(value, str):
            raise UserError(f"{name}: a text is needed")
    redacted = data.get("redacted") or []
    if not isinstance(redacted, list):
        raise UserError("redacted: a list is needed")
    return RegisterDump(blocks, texts["profile"], texts["taken_at"], texts["note"] or "", tuple(str(r) for r in redacted))


def _block(data: Any, head: Mapping[str, Any], path: str) -> DumpBlock:
    given = data.get("words") if isinstance(data, dict) else None
    if given is None and isinstance(data, dict) and "count" in data:
        given = []  # asked for, and nothing of it is known
    if not isinstance(given, list):
        raise UserError(f"{path}: an object with 'start' and a list 'words' is needed")
    unit = _whole(data.get("unit", head.get("unit", 1)), 0, 255, f"{path}.unit")
    function = _whole(data.get("function", head.get("function", READ_HOLDING)), READ_HOLDING, READ_INPUT, f"{path}.function")
    if "start" not in data:
        raise UserError(f"{path}: the key 'start' is missing: the first register, as it is on the wire (from 0)")
    start = _whole(data["start"], 0, 0xFFFF, f"{path}.start")
    words = [_word(word, f"{path}.words[{n}]") for n, word in enumerate(given)]
    count = _whole(data.get("count", len(words)), 1, 0x10000, f"{path}.count")
    if len(words) > count:
        raise UserError(f"{path}: {len(words)} words, though count is {count}")
    if start + count > 0x10000:
        raise UserError(f"{path}: {count} registers from {start} reach past the last address 65535")
    return DumpBlock(unit, function, start, (*words, *[None] * (count - len(words))))


def _whole(value: Any, low: int, high: int, path: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise UserError(f"{path}: {value!r} is no whole number from {low} to {high}")
    return value


def _word(value: Any, path: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, str) and value[:2].lower() == "0x":
        try:
            value = int(value, 16)
        except ValueError:
            raise UserError(f"{path}: {value!r} is no hexadecimal number") from None
    return _whole(value, 0, 0xFFFF, path)


class DumpTransport:
    """Answers reads out of a dump. Implements `Transport`.

    A register that is not in the dump, or not known, has no value. A read of one value that touches such a register is refused as
    an illegal address; so is any read that finds nothing known. In other reads the unknown registers stand as 0: ask `word`
    which ones they are.
    """

    def __init__(self, dump: RegisterDump, link: str = "dump") -> None:
        self._words = dump.words()
        self._units = frozenset(dump.units)
        self._link = link

    @property
    def link(self) -> str:
        return self._link

    @property
    def connected(self) -> bool:
        return True

    async def open(self) -> None:
        """A file is always there."""

    async def close(self) -> None:
        """Nothing was opened."""

    def word(self, unit: int, function: int, address: int) -> int | None:
        """One register; None where the dump does not know it."""
        return self._words.get((unit, function), {}).get(address)

    def places(self, unit: int, pattern: Iterable[int], function: int = READ_HOLDING) -> list[int]:
        """Addresses at which these register values stand one after another."""
        space, wanted = self._words.get((unit, function), {}), list(pattern)
        return sorted(a for a in space if all(space.get(a + n) == word for n, word in enumerate(wanted)))

    async def read(self, unit: int, address: int, count: int, *, function: int = READ_HOLDING) -> bytes:
        if unit not in self._units:
            raise LinkTimeout(self._link, f"unit {unit} is not in the dump")
        found = [self.word(unit, function, a) for a in range(address, address + count)]
        known = sum(word is not None for word in found)
        if known == 0 or (known < count <= _ONE_VALUE):
            raise DeviceRefusal(self._link, f"registers {address} to {address + count - 1} are not in the dump", _ILLEGAL_ADDRESS)
        return struct.pack(f">{count}H", *(word or 0 for word in found))

    async def write(self, unit: int, address: int, data: bytes, *, function: int = WRITE_MULTIPLE) -> None:
        raise DeviceRefusal(self._link, "a dump cannot be written to", _ILLEGAL_FUNCTION)


class DumpBank:
    """The registers of one unit of a dump for a server, read-only: what the dump does not know is refused as an illegal address.

    Implements `wire.modbus_server.RegisterBank`; input registers are apart from holding registers.
    """

    def __init__(self, dump: RegisterDump, unit: int) -> None:
        self._words = dump.words()
        self._unit = unit

    def read(self, address: int, count: int) -> bytes:
        return self._read(READ_HOLDING, address, count)

    def read_input(self, address: int, count: int) -> bytes:
        return self._read(READ_INPUT, address, count)

    def write(self, address: int, data: bytes) -> None:
        raise DeviceRefusal(f"unit {self._unit}", "a dump cannot be written to", _ILLEGAL_FUNCTION)

    def _read(self, function: int, address: int, count: int) -> bytes:
        space = self._words.get((self._unit, function), {})
        found = [space.get(a) for a in range(address, address + count)]
        known = [word for word in found if word is not None]
        if len(known) < count:
            raise DeviceRefusal(f"unit {self._unit}", f"registers from {address} are not all in the dump", _ILLEGAL_ADDRESS)
        return struct.pack(f">{count}H", *known)
