"""What was on the air in a simulation, and what radios cost and bring, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mimctl.cli.render import console, print_table

_ROWS = {"as_wired": "the same fleet, all wired", "as_it_is": "as it is", "without_radios": "without its radios"}
_COMPARED = ("fleet", "removed", "of what wired removes", "of what was possible", "worse than none", "violations", "changes/MIM h")
_AIR = ("link", "radio", "MIMs", "commands/MIM h", "frames", "lost", "held back", "on the air", "permitted")


def print_air(air: Mapping[str, Mapping[str, Any]], *, to_stderr: bool) -> None:
    """One row for each radio link."""
    rows = [(link, *_cells(figures)) for link, figures in air.items()]
    print_table(_AIR, rows, title="\nOn the air", right=_AIR[2:7], stderr=to_stderr)


def _cells(figures: Mapping[str, Any]) -> tuple[str, ...]:
    lost = f"{figures['lost']} ({figures['lost'] / max(figures['frames'], 1):.1%})"
    start = (figures["kind"], str(figures["mims"]), f"{figures['commands_per_mim_h']:.0f}", str(figures["frames"]), lost)
    if "channel_share" in figures:
        return (*start, "–", f"{figures['channel_share']:.1%} of the channel at most", "no law")
    gateway, device = figures["gateway_share"], figures["device_share"]
    limit = "no law" if figures["device_limit"] is None else f"{figures['device_limit']:.0%}"
    used = f"gateway {gateway:.2%}, a device {device:.2%} of an hour"
    return (*start, str(figures["held_back"]), used, f"{figures['gateway_limit']:.0%}, {limit}")


def print_radios(found: Mapping[str, Any], *, to_stderr: bool) -> None:
    """The three fleets, and how much of the wired one's balance the radios keep."""
    wired = found["rows"]["as_wired"]["removed_share"]
    rows = []
    for name, title in _ROWS.items():
        row = found["rows"][name]
        removed = row["removed_share"]
        of_wired = None if removed is None or not wired else removed / wired
        shares = _pct(removed), _pct(of_wired), _pct(row["achieved_share"]), f"{row['worse_than_none_pct']:.2f} %"
        rows.append((title, *shares, row["limit_violations"], f"{row['writes_per_mim_h']:.0f}"))
    title = f"\nWith and without radios, {found['frame_loss_pct']:g} % of their frames lost"
    print_table(_COMPARED, rows, title=title, right=_COMPARED[1:], stderr=to_stderr)
    if found["of_wired"] is not None and found["without_of_wired"] is not None:
        kept, left = _pct(found["of_wired"]), _pct(found["without_of_wired"])
        console(stderr=to_stderr).print(f"with its radios the fleet removes {kept} of what it would if wired, without them {left}")


def _pct(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.2f} %"
