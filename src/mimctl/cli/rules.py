"""`mimctl rules SITE`: which rules are in force, now, at another time, over the week."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mimctl.cli.interrupts import loading
from mimctl.cli.render import PIPE_WIDTH, STDOUT, console, json_option, print_table, write_json

if TYPE_CHECKING:
    from mimctl.model.rules import Condition, Restraint, Window
    from mimctl.model.site import BalanceRule, Site

COLUMNS = ("rule", "type", "where", "in force", "window", "condition", "changes", "what")
SPARE = ("what", "where", "condition")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_AHEAD = timedelta(days=8)


class Instant(click.ParamType[datetime]):
    """An ISO date and time; UTC where it names no offset."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            read = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"'{value}' is no time; write it like 2026-03-01T08:30 (UTC) or 2026-03-01T08:30+01:00", param, ctx)
        return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)


@click.command(epilog="Example: mimctl rules site_configs/demo.yaml --week")
@click.argument("site", type=click.Path(path_type=Path))
@click.option("--at", "instant", metavar="TIME", type=Instant(), help="At another time than now: ISO, in UTC without an offset.")
@click.option("--week", "whole_week", is_flag=True, help="Draw when the windows are open, over the week by the site's local clock.")
@json_option
def command(site: Path, instant: datetime | None, whole_week: bool, json_target: str | None) -> None:
    """Show which rules are in force, and when that changes.

    Whether a condition holds is known to the running service alone. Without it, or for another time, a rule whose window is open
    is said to be in force `if` its condition holds.
    """
    with loading():
        from mimctl.config.site import load_site
        from mimctl.model.clock import SystemClock

        loaded = load_site(site)
    told = None if instant is not None else _told(loaded, site)
    at = instant or SystemClock().utc()
    found = _rules(loaded, at, told)
    if json_target is not None:
        write_json(json_target, _plain(loaded, at, found, served=told is not None, whole_week=whole_week))
        if json_target == STDOUT:
            return
    if told is None and instant is None:
        click.echo("no service runs this site: whether conditions hold is not known", err=True)
    print_table(COLUMNS, [_row(rule, loaded.timezone) for rule in found], title=_title(loaded, at), spare=SPARE)
    if whole_week:
        click.echo()
        _draw(loaded, at, found)


def _told(site: Site, file: Path) -> list[dict[str, Any]] | None:
    """What the running service says of its rules; None where none runs."""
    from mimctl.cli.service_call import ask_service
    from mimctl.model.errors import Unreachable

    try:
        answer: list[dict[str, Any]] = ask_service(site.id, file, "rules")["rules"]
    except Unreachable:
        return None
    return answer


def _rules(site: Site, at: datetime, told: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    """Every rule of the site in the order of the file within its kind, as far as it is known how it stands."""
    from mimctl.model.calendar import active_at
    from mimctl.model.site import BalanceRule

    taken = _balancing(site, at)
    found = []
    every: tuple[BalanceRule | Restraint, ...] = (*site.rules, *site.restraints)
    for rule in every:
        is_open = active_at(rule.window, at, site.timezone)
        balances = isinstance(rule, BalanceRule)
        entry = {
            "id": rule.id,
            "type": "balance" if isinstance(rule, BalanceRule) else rule.kind,
            "where": list(rule.zones if isinstance(rule, BalanceRule) else rule.place.names),
            "what": "its phases are balanced" if balances else str(rule),
            "open": is_open,
            "window": rule.window,
            "when": rule.when,
            "condition": None,
            "value": None,
            "changes": _next_change(site, rule.window, at),
            "in_force": "no" if not is_open or (balances and rule.id not in taken) else "yes" if rule.when is None else "if",
        }
        found.append(entry | _of_service(rule.id, told))
    return found


def _balancing(site: Site, at: datetime) -> set[str]:
    """Balance rules that may be taken in some zone: the first one open, and those before it whose condition decides."""
    from mimctl.model.calendar import active_at

    taken: set[str] = set()
    for zone in site.zones:
        for rule in site.rules:
            if zone.id in rule.zones and active_at(rule.window, at, site.timezone):
                taken.add(rule.id)
                if rule.when is None:
                    break
    return taken


def _of_service(name: str, told: Sequence[Mapping[str, Any]] | None) -> dict[str, Any]:
    """What the zones say of a rule; nothing where none of them said anything yet."""
    states = [state for state in told or () if state["id"] == name]
    if not states:
        return {}
    zones = [state["zone"] for state in states if state["in_force"]]
    word = "yes" if len(zones) == len(states) else "no" if not zones else f"in {', '.join(zones)}"
    return {
        "in_force": word,
        "condition": next((state["condition"] for state in states if state["condition"] is not None), None),
        "value": next((state["value"] for state in states if state["value"] is not None), None),
        "zones": zones,
    }


def _next_change(site: Site, window: Window, at: datetime) -> datetime | None:
    from mimctl.model.calendar import changes, day_begins

    until = at + _AHEAD
    if window.first_day is not None:
        until = max(until, day_begins(window.first_day, site.timezone) + _AHEAD)
    return next(iter(changes(window, at, until, site.timezone)), None)


def _title(site: Site, at: datetime) -> str:
    from mimctl.model.calendar import local_time

    local = local_time(at, site.timezone)
    return f"{site.name} · {_DAYS[local.weekday()]} {local:%Y-%m-%d %H:%M} {site.timezone}"


def _row(rule: Mapping[str, Any], timezone: str) -> list[str]:
    from mimctl.cli.live import number
    from mimctl.model.calendar import local_time

    change = rule["changes"] and local_time(rule["changes"], timezone)
    unchanging = "never" if rule["when"] is None else "by condition"
    return [
        rule["id"],
        rule["type"],
        ", ".join(rule["where"]) or "everywhere",
        rule["in_force"],
        window_words(rule["window"]),
        "" if rule["when"] is None else condition_words(rule["when"]) + _now(rule, number(rule["value"])),
        unchanging if change is None else f"{_DAYS[change.weekday()]} {change:%Y-%m-%d %H:%M}",
        rule["what"],
    ]


def _now(rule: Mapping[str, Any], value: str) -> str:
    return "" if rule["condition"] is None else f" ({rule['condition']}, now {value})"


def window_words(window: Window) -> str:
    """`Mon-Fri 22:00-06:00`; `always` where it has no end."""
    parts = []
    if len(window.days) < len(_DAYS):
        runs = window.days == tuple(range(window.days[0], window.days[-1] + 1)) and len(window.days) > 2
        parts.append(f"{_DAYS[window.days[0]]}-{_DAYS[window.days[-1]]}" if runs else ",".join(_DAYS[day] for day in window.days))
    if window.start != window.end:
        parts.append(f"{_clock(window.start)}-{_clock(window.end)}")
    if window.first_day is not None:
        parts.append(f"from {window.first_day}")
    if window.last_day is not None:
        parts.append(f"until {window.last_day}")
    return " ".join(parts) or "always"


def _clock(of: time) -> str:
    return f"{of:%H:%M}" if of.second == 0 else f"{of:%H:%M:%S}"


def condition_words(when: Condition) -> str:
    """`pdu-a1 current above 40 A for 30 s`."""
    from mimctl.config.rule_values import unit_of

    place = when.node or when.battery
    unit = unit_of(when.quantity)
    past = f"{'above' if when.above else 'below'} {when.threshold:g}{' ' if unit else ''}{unit}"
    long = f" for {when.for_s:g} s" if when.for_s else ""
    return " ".join([*([place] if place else []), when.quantity.replace("_", " "), past]) + long


def _draw(site: Site, at: datetime, rules: Sequence[Mapping[str, Any]]) -> None:
    from mimctl.cli.rule_week import bar, cells_for, headline, week_of

    week = week_of(at, site.timezone)
    names = [rule["id"] for rule in rules]
    screen = console()
    cells = cells_for(names, screen.width if screen.is_terminal else PIPE_WIDTH)
    wide = max(map(len, names), default=0)
    click.echo(f"{'':{wide}}  {headline(week, cells)}".rstrip())
    for rule in rules:
        mark = "" if rule["when"] is None else "  if"
        click.echo(f"{rule['id']:{wide}}  {bar(week, rule['window'], cells)}{mark}")


def _plain(site: Site, at: datetime, rules: Sequence[Mapping[str, Any]], *, served: bool, whole_week: bool) -> dict[str, Any]:
    from mimctl.cli.rule_week import week_of

    week = week_of(at, site.timezone)
    spans = {rule["id"]: [[a, b] for a, b in week.open_spans(rule["window"])] for rule in rules} if whole_week else {}
    listed = [
        {**rule, "window": window_words(rule["window"]), "when": rule["when"] and condition_words(rule["when"])}
        | ({"open_this_week": spans[rule["id"]]} if whole_week else {})
        for rule in rules
    ]
    return {"site": site.id, "at": at, "timezone": site.timezone, "service": served, "rules": listed}
