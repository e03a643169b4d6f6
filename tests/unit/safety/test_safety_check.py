"""What the judge needs of a site file."""

from __future__ import annotations

from dataclasses import replace

from safety_cases import rack_site

from mimctl.model.node import SourceKind
from mimctl.model.problem import Severity
from mimctl.safety.check import check


def test_a_metered_site_is_fine() -> None:
    assert check(rack_site()) == []


def test_a_port_that_no_meter_sees_is_an_error() -> None:
    found = check(rack_site(unmetered=frozenset({"r1", "pdu", "head"})))
    errors = [p for p in found if p.severity is Severity.ERROR]
    assert [p.path for p in errors] == ["mims[0].ports[0].node", "mims[0].ports[1].node", "mims[0].ports[2].node"]
    assert {p.code for p in errors} == {"safety.port_unseen"}


def test_a_node_whose_load_is_not_seen_is_a_warning_once() -> None:
    found = check(rack_site(unmetered=frozenset({"r2"})))
    assert [(p.code, p.path, p.severity) for p in found] == [("safety.load_unseen", "mims[1].ports[0].node", Severity.WARNING)]
    mim = rack_site().mims[1].id
    assert f"that the bus is alive is known by the voltage that {mim} tells of its own port alone" in found[0].message


def test_reverse_power_into_a_ups_is_a_warning_and_into_the_utility_is_not() -> None:
    site = rack_site(reverse_power_limit_w=500.0)
    assert [p.code for p in check(site)] == ["safety.reverse_power"]
    assert check(replace(site, feeds=tuple(replace(f, source=SourceKind.UTILITY) for f in site.feeds))) == []
