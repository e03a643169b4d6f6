"""Status says of every node where its figures come from and how sure they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from tests.builders import rack_site, state_of

from mimctl.cli.live import node_rows
from mimctl.model.sample import Quality
from mimctl.service.status import node_sources


def test_measured_estimated_doubted_and_unknown_are_told_apart() -> None:
    state = state_of(rack_site(3, mims=False), np.full((5, 3), 1000 + 0j))
    rows = np.arange(5)
    nodes = replace(
        state.nodes,
        quality=np.where(rows == 4, int(Quality.BAD), int(Quality.GOOD)),
        estimated=rows == 2,
        doubted=rows == 3,
        sigma_w=np.where(rows[:, None] == 4, np.nan, np.full((5, 3), 12.34)),
        sigma_var=np.full((5, 3), 5.0),
        sigma_v=np.full((5, 3), 0.7),
    )
    state = replace(state, nodes=nodes)
    told = [node_sources(state, i) for i in range(5)]
    assert [entry["source"] for entry in told] == ["measured", "measured", "estimated", "doubted", "unknown"]
    assert told[2]["sigma_w"] == [12.3, 12.3, 12.3]
    assert told[4]["sigma_w"] == [None, None, None]
    assert state.bad_nodes() == ["rack1", "rack3"]


def test_before_anything_was_estimated_readings_are_readings() -> None:
    state = state_of(rack_site(1, mims=False), np.full((3, 3), 1000 + 0j))
    assert node_sources(state, 0) == {"source": "measured", **dict.fromkeys(("sigma_w", "sigma_var", "sigma_v"), [None] * 3)}


def test_the_table_marks_what_is_no_plain_reading() -> None:
    figures = dict.fromkeys(("i2_i1", "i0_i1", "neutral_a", "loading_pct"))
    figures |= dict.fromkeys(("current_a", "headroom_assisted_a", "headroom_firm_a"), [None] * 3)
    sources = {"a": "measured", "b": "estimated", "c": "doubted"}
    zones = {"z": {"nodes": {name: {**figures, "source": source} for name, source in sources.items()}}}
    assert [row[0] for row in node_rows({"zones": zones}, frozenset(sources))] == ["a", "b ~", "c ?"]
