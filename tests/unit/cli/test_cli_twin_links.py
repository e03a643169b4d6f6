"""A site at its twin: every link moved, or none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.builders import rack_site

from mimctl.cli.twin_links import pointed_at, read_addresses
from mimctl.model.errors import UserError
from mimctl.model.site import Site

HERE = {"gw": {"host": "127.0.0.1", "port": 40123, "tls": None}}


def test_links_lead_to_the_twin() -> None:
    (link,) = pointed_at(rack_site(), HERE).links
    assert (link.id, link.host, link.port) == ("gw", "127.0.0.1", 40123)


def two_links() -> Site:
    site = rack_site()
    return replace(site, links=(*site.links, replace(site.links[0], id="second")))


def test_a_hall_half_real_is_refused() -> None:
    with pytest.raises(UserError, match="serves no link 'second'"):
        pointed_at(two_links(), HERE)


def test_addresses_of_another_kind_of_link_are_refused() -> None:
    with pytest.raises(UserError, match="do not fit"):
        pointed_at(rack_site(), {"gw": {"device": "/dev/pts/3"}})


def test_a_file_as_the_twin_writes_it(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"links": HERE, "devices": []}))
    assert read_addresses(file) == HERE


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"links": 3}', '{"links": {"gw": 1}}', "site: {id: x}"])
def test_another_file_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.json"
    file.write_text(text)
    with pytest.raises(UserError, match="mimctl twin SITE --json") as caught:
        read_addresses(file)
    assert "\n" not in str(caught.value)


def test_a_missing_file_says_who_writes_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"No such file.*mimctl twin SITE --json"):
        read_addresses(tmp_path / "none.json")
