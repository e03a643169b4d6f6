"""Take out of a dump what tells whose device it is and where it stands: serial numbers, host and network addresses.

What stays replays as before: texts become `REDACTED`, numbers 0. Registers of vendor models that nobody described are only
searched for the serial numbers found elsewhere, and for addresses written as text.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import replace

from mimctl.model.profile import PointSpec, PointType
from mimctl.wire.dump import RegisterDump, blocks_of
from mimctl.wire.registers import text_of
from mimctl.wire.sunspec import COMMON, ModelBlock
from mimctl.wire.sunspec_models import Leaf, definition_of, leaves, point_spec

#: models of the communication interfaces; every text in them is a name or address in somebody's network
_NETWORK_MODELS = range(10, 20)
_ADDRESS_TYPES = frozenset({"ipaddr", "ipv6addr", "eui48"})
_PLACEHOLDER = b"REDACTED"
#: a shorter serial number is found by chance anywhere
_LEAST_TEXT = 5
_BYTE = rb"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
#: IPv4 and hardware addresses as people write them
_ADDRESSES = re.compile(
    rb"(?<![\d.])(?:%b\.){3}%b(?![\d.])|(?<![0-9A-Fa-f])(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}(?![0-9A-Fa-f])" % (_BYTE, _BYTE)
)


def sensitive_points(models: Sequence[ModelBlock]) -> list[PointSpec]:
    """The points of a SunSpec chain that must not leave the site."""
    found: list[PointSpec] = []
    for block in models:
        definition = definition_of(block.id)
        if definition is None:
            continue
        for leaf in leaves(definition, block.length, dict(block.counts)):
            spec = point_spec(leaf, leaf.path, block.address) if _is_sensitive(block.id, leaf) else None
            if spec is not None:
                found.append(spec)
    return found


def version_points(models: Sequence[ModelBlock]) -> list[PointSpec]:
    """The texts of a SunSpec chain that may look like an address, and tell a version."""
    described = ((block, definition_of(block.id)) for block in models if block.id == COMMON)
    found = (
        point_spec(leaf, leaf.path, block.address)
        for block, definition in described
        if definition is not None
        for leaf in leaves(definition, block.length, dict(block.counts))
        if leaf.definition["name"] == "Vr"
    )
    return [spec for spec in found if spec is not None]


def sensitive_identity(identity: Iterable[tuple[str, PointSpec]]) -> list[PointSpec]:
    """The same for the identity points of a register map."""
    return [point for name, point in identity if any(word in name.lower() for word in ("serial", "mac", "host", "address"))]


def _is_sensitive(model: int, leaf: Leaf) -> bool:
    kind, name = leaf.definition["type"], leaf.definition["name"]
    serial = name == "SN" or "serial" in f"{name} {leaf.definition.get('label', '')}".lower()
    return kind in _ADDRESS_TYPES or serial or (kind == "string" and model in _NETWORK_MODELS)


def redacted(dump: RegisterDump, unit: int, points: Iterable[PointSpec], versions: Iterable[PointSpec] = ()) -> RegisterDump:
    """The dump without what these points of one unit say, wherever else the same text stands in it, and without any address that is
    written as text.

    Args:
        versions: texts that are left as they are: 4.18.3.2 need not be an address.
    """
    words, gone, texts = dump.words(), list(dump.redacted), set[bytes]()
    for point in points:
        space = words.get((unit, point.function), {})
        places = range(point.address, point.end)
        if any(a not in space for a in places):
            for address in places:
                space.pop(address, None)
            continue
        data = struct.pack(f">{len(places)}H", *(space[a] for a in places))
        if point.type is PointType.STRING and (shown := text_of(point, data)) is not None:
            said = data.partition(b"\0")[0].strip()
            texts.add(said if len(shown) >= _LEAST_TEXT else b"")
        if any(data) and set(data) != {0xFF}:
            instead = _PLACEHOLDER if point.type is PointType.STRING else b""
            _put(space, point.address, instead.ljust(len(data), b"\0")[: len(data)])
            gone.append(f"unit {unit}: {point.key}")
    for text in sorted(texts - {b"", _PLACEHOLDER}, key=len, reverse=True):
        gone += _remove(words, text)
    gone += _remove_addresses(words, {(unit, p.function, a) for p in versions for a in range(p.address, p.end)})
    return replace(dump, blocks=blocks_of(words), redacted=tuple(gone))


def _remove(words: dict[tuple[int, int], dict[int, int]], text: bytes) -> list[str]:
    """Overwrite a text wherever it stands, at any byte of any register."""
    gone: list[str] = []
    for block in blocks_of(words):
        data = struct.pack(f">{len(block.words)}H", *(word or 0 for word in block.words))
        cleaned = data.replace(text, b"X" * len(text))
        if cleaned != data:
            _put(words[block.unit, block.function], block.start, cleaned)
            gone.append(f"unit {block.unit}: the same text in the registers from {block.start}")
    return gone


def _remove_addresses(words: dict[tuple[int, int], dict[int, int]], spared: set[tuple[int, int, int]]) -> list[str]:
    """Overwrite what reads as an address, but for registers that are spared (unit, function, address)."""
    gone: list[str] = []
    for block in blocks_of(words):
        data = struct.pack(f">{len(block.words)}H", *(word or 0 for word in block.words))
        for match in _ADDRESSES.finditer(data):
            first, last = block.start + match.start() // 2, block.start + (match.end() - 1) // 2
            if any((block.unit, block.function, a) in spared for a in range(first, last + 1)):
                continue
            data = data[: match.start()] + b"X" * len(match[0]) + data[match.end() :]
            gone.append(f"unit {block.unit}: an address as text in the registers from {first}")
        _put(words[block.unit, block.function], block.start, data)
    return gone


def _put(space: dict[int, int], address: int, data: bytes) -> None:
    space.update(enumerate(struct.unpack(f">{len(data) // 2}H", data), address))
