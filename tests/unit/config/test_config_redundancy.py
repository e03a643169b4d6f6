"""Pairs of redundant nodes in site files."""

from __future__ import annotations

import pytest
from tests.site_factory import site_dict, write_site

from mimctl.config.site import check_site


def read(tmp_path, pairs: list[list[str]], **more: object):
    return check_site(write_site(tmp_path, site_dict(racks=4, feeds=2) | {"redundant": pairs} | more))


def test_pairs_of_two_feeds(tmp_path):
    site, problems = read(tmp_path, [["rack-a1-1", "rack-b1-1"], ["rack-b1-2", "rack-a1-2"]])
    assert not problems
    assert site.redundant == (("rack-a1-1", "rack-b1-1"), ("rack-b1-2", "rack-a1-2"))


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([["rack-a1-1", "rack-a1-2"]], ("error", "redundant.feeds", "redundant[0]")),
        ([["rack-a1-1", "rack-c1-1"]], ("error", "reference.unknown", "redundant[0][1]")),
        ([["rack-a1-1", "rack-b1-1"], ["rack-a1-1", "rack-b1-2"]], ("error", "redundant.twice", "redundant[1][0]")),
        ([["pdu-a1", "pdu-b1"], ["rack-a1-1", "feed-b"]], ("error", "redundant.twice", "redundant[1][0]")),
        ([["rack-a1-1", "rack-b1-1"], ["rack-a1-2", "pdu-b1"]], ("error", "redundant.twice", "redundant[1][1]")),
    ],
)
def test_what_is_wrong_with_pairs(tmp_path, pairs, expected):
    _, problems = read(tmp_path, pairs)
    assert expected in [(p.severity.value, p.code, p.path) for p in problems]


def test_a_pair_in_two_zones_is_nobodys(tmp_path):
    zones = [{"id": "a", "heads": ["feed-a"]}, {"id": "b", "heads": ["feed-b"]}]
    site, problems = read(tmp_path, [["rack-a1-1", "rack-b1-1"]], zones=zones)
    assert site is not None
    assert [(p.code, p.path) for p in problems] == [("redundant.zone_split", "redundant[0]")]
