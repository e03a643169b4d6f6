"""The worked values of docs/explanation/signs.md are what the code computes."""

import cmath
import math
from pathlib import Path

import numpy as np
import pytest

from mimctl.grid.tree import TreeOperators, sequence_matrix
from mimctl.model.address import DeviceAddress
from mimctl.model.connection import Connection
from mimctl.model.layout import SiteLayout
from mimctl.model.node import Feed, Node, NodeKind, Transformer, Winding
from mimctl.model.phases import Rotation
from mimctl.model.site import Mim, PortSpec, Site

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "signs.md"
#: the page rounds to one decimal (powers) and three (currents)
ROUNDING_W, ROUNDING_A = 0.06, 0.0006


def table(heading):
    """Rows of the table under a heading, each a list of its cells' texts."""
    section = PAGE.read_text(encoding="utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    rows = [[cell.strip().replace("−", "-") for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert rows, heading
    return rows


def numbers(cells):
    return [float(cell) for cell in cells]


def per_phase_va(cells):
    """Three complex powers from six cells: W and var of each phase."""
    values = numbers(cells)
    return np.array([complex(p, q) for p, q in zip(values[::2], values[1::2], strict=True)])


def site(nodes, mims=()):
    feeds = (Feed("A", nodes[0].id),)
    return Site("s", "s", "UTC", 50.0, Rotation.POSITIVE, (), feeds, tuple(nodes), (), tuple(mims), (), (), ())


@pytest.mark.parametrize("row", table("A power at a connection, seen at the phase terminals"), ids=str)
def test_power_at_the_terminals(row):
    connection, rotation = Connection(row[0]), Rotation(row[1])
    p, q = numbers(row[2:4])
    assert np.allclose(complex(p, q) * np.array(connection.phase_shares(rotation)), per_phase_va(row[4:]), atol=ROUNDING_W)


@pytest.mark.parametrize("row", table("What a node imports"), ids=str)
def test_net_import(row):
    load = complex(*numbers(row[1:3])) * np.array(Connection(row[0]).phase_shares())
    injection = complex(*numbers(row[4:6]))
    mim = Mim("m", DeviceAddress("link", 1), (PortSpec("rack", Connection(row[3]), 5000.0),))
    layout = SiteLayout(site([Node("rack", NodeKind.RACK, None, 32.0, 230.0)], [mim]))
    flow = TreeOperators(layout).flow(load[None, :], np.array([injection]))
    assert np.allclose(flow[0], per_phase_va(row[6:]), atol=ROUNDING_W)


@pytest.mark.parametrize("row", table("Sequence components and the neutral"), ids=str)
def test_sequence_components(row):
    amperes_angles = [numbers(cell.split("∠")) for cell in row[1:4]]
    currents = np.array([cmath.rect(a, math.radians(angle)) for a, angle in amperes_angles])
    components = np.abs(sequence_matrix(Rotation(row[0])) @ currents)
    assert np.allclose([*components, abs(currents.sum())], numbers(row[4:]), atol=ROUNDING_A)


@pytest.mark.parametrize("row", table("Through a transformer"), ids=str)
def test_through_a_transformer(row):
    winding, clock = next((w, int(row[0].removeprefix(w))) for w in Winding if row[0].startswith(w))
    transformer = Transformer(winding, 100e3, clock=clock)
    head = Node("mv", NodeKind.FEED, None, 100.0, 6350.0)
    low = Node("lv", NodeKind.TRANSFORMER, "mv", 400.0, 230.0, transformer=transformer)
    load = complex(*numbers(row[2:4])) * np.array(Connection(row[1]).phase_shares())
    flow = TreeOperators(SiteLayout(site([head, low]))).flow(np.array([np.zeros(3), load]))
    assert np.allclose(flow[0], per_phase_va(row[4:]), atol=ROUNDING_W)
