"""Leases in the types that JSON has, for the file that outlives the service and for the door."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mimctl.model.lease import Action, Cap, Form, Lease, LeaseSource, LockOut, Pause, Setpoint, Stop


def lease_plain(lease: Lease) -> dict[str, Any]:
    """Everything of a lease; `lease_of` reads it back."""
    return {
        "id": lease.id,
        "kind": lease.kind,
        "source": lease.source.word,
        "owner": lease.owner,
        "scope": lease.scope,
        **_action_plain(lease.action),
        "reason": lease.reason,
        "granted_utc": lease.granted_utc.isoformat(),
        "expires_utc": lease.expires_utc and lease.expires_utc.isoformat(),
    }


def lease_of(data: Mapping[str, Any]) -> Lease:
    """The lease that `lease_plain` wrote.

    Raises:
        ValueError: something is missing or no such thing.
        UserError: it contradicts itself.
    """
    try:
        return Lease(
            id=_text(data["id"]),
            source=source_of(data["source"]),
            owner=_text(data["owner"]),
            scope=_text(data["scope"]),
            action=action_of(data),
            reason=_text(data["reason"]),
            granted_utc=_instant(data["granted_utc"]),
            expires_utc=None if data["expires_utc"] is None else _instant(data["expires_utc"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no lease: {error!r}") from error


def source_of(word: object) -> LeaseSource:
    """The source that a word means.

    Raises:
        ValueError: none does.
    """
    for source in LeaseSource:
        if source.word == word:
            return source
    raise ValueError(f"no source '{word}'; there are {', '.join(s.word for s in LeaseSource)}")


def action_of(data: Mapping[str, Any]) -> Action:
    """What a lease says, by its `kind`.

    Raises:
        ValueError: something is missing or no such thing.
        UserError: it contradicts itself.
    """
    kind = data.get("kind")
    if kind == Setpoint.kind:
        return Setpoint(tuple(None if port is None else complex(_number(port[0]), _number(port[1])) for port in data["ports"]))
    if kind == Cap.kind:
        return Cap(*(None if data.get(name) is None else _number(data[name]) for name in ("max_va", "max_a", "max_export_w")))
    if kind == Form.kind:
        if not isinstance(data.get("bus"), str):
            raise ValueError("say which bus: a node or a feed")
        return Form(_text(data["bus"]))
    for plain in (Stop, LockOut, Pause):
        if kind == plain.kind:
            return plain()
    raise ValueError(f"no kind of lease '{kind}'")


def _action_plain(action: Action) -> dict[str, Any]:
    if isinstance(action, Setpoint):
        return {"ports": [None if power is None else [power.real, power.imag] for power in action.power_va]}
    if isinstance(action, Cap):
        limits = {"max_va": action.max_va, "max_a": action.max_a, "max_export_w": action.max_export_w}
        return {name: value for name, value in limits.items() if value is not None}
    return {"bus": action.bus} if isinstance(action, Form) else {}


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"not a text: {value!r}")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"not a finite number: {value!r}")
    return float(value)


def _instant(value: object) -> datetime:
    instant = datetime.fromisoformat(_text(value))
    if instant.tzinfo is None:
        raise ValueError(f"no time zone: {value!r}")
    return instant.astimezone(UTC)
