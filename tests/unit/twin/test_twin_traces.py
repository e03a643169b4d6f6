"""Trace files: what is taken, held, filled, left out and refused."""

from __future__ import annotations

import gzip
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from builders import rack_site
from mimctl.model.connection import Connection
from mimctl.model.errors import UserError
from mimctl.model.site import Site, TwinLoad, TwinSpec
from mimctl.twin.traces import read_trace

LOADS = (
    TwinLoad("rack1", Connection.L1, 1000.0, column="a_kW", scale=1000.0, power_factor=0.8),
    TwinLoad("rack1", Connection.L2, 1000.0),
    TwinLoad("rack2", Connection.L3, 1000.0),
)


def site() -> Site:
    return replace(rack_site(2), twin=TwinSpec(loads=LOADS))


def write(folder: Path, text: str, name: str = "loads.csv") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def test_columns_by_name_and_by_mapping(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        "time,a_kW,rack1.L2.p_w,rack1.L2.q_var,pdu.3ph.p_w,else\n2026-01-01T00:00,1,200,-30,90,7\n2026-01-01T00:01,2,300,40,90,7\n",
    )
    trace = read_trace(file, site())
    first, second = trace.at(59.9), trace.at(60.0)
    # power factor 0.8 inductive: Q = 0.75·P
    np.testing.assert_allclose(first, [1000 + 750j, 200 - 30j, 0, first[3]])
    np.testing.assert_allclose(second[:2], [2000 + 1500j, 300 + 40j])
    assert (trace.loads[3].node, trace.loads[3].connection) == ("pdu", Connection.THREE_PHASE)
    assert first[3].real == 90
    assert trace.info.columns_used == ("a_kW", "rack1.L2.p_w", "rack1.L2.q_var", "pdu.3ph.p_w")
    assert trace.info.columns_ignored == ("else",)
    assert trace.info.loads_without_column == ("rack2.L3",)
    assert trace.info.interval_s == 60
    assert trace.info.end == datetime(2026, 1, 1, 0, 2, tzinfo=UTC)
    assert trace.remaining_s == 120


def test_mapped_column_wins_over_a_named_one(tmp_path: Path) -> None:
    trace = read_trace(write(tmp_path, "time,rack1.L1.p_w,a_kW\n2026-01-01,5,1\n"), site())
    assert trace.at(0)[0].real == 1000
    assert trace.info.columns_ignored == ("rack1.L1.p_w",)


def test_gaps_take_the_value_before_and_are_counted(tmp_path: Path) -> None:
    rows = "2026-01-01T00:00,,1\n2026-01-01T00:01,2,\n2026-01-01T00:02,NaN,\n2026-01-01T00:03,4,5\n"
    trace = read_trace(write(tmp_path, "time,a_kW,rack1.L2.p_w\n" + rows), site())
    assert [trace.at(60 * i)[0].real for i in range(4)] == [2000, 2000, 2000, 4000]
    assert [trace.at(60 * i)[1].real for i in range(4)] == [1, 1, 1, 5]
    assert trace.info.gaps_filled == 4


def test_irregular_spacing_and_outside_of_the_file(tmp_path: Path) -> None:
    rows = "2026-01-01T00:00:00,1\n2026-01-01T00:00:10,2\n2026-01-01T00:00:20,3\n2026-01-01T01:00:00,4\n"
    trace = read_trace(write(tmp_path, "time,a_kW\n" + rows), site())
    assert [trace.at(t)[0].real / 1000 for t in (-5, 0, 9.99, 10, 3599, 3600, 1e6)] == [1, 1, 1, 2, 3, 4, 4]
    assert trace.info.interval_s == 10
    assert trace.info.longest_interval_s == 3580


def test_start_selects_and_zones_are_understood(tmp_path: Path) -> None:
    file = write(tmp_path, "time,a_kW\n2026-01-01T02:00+02:00,1\n2026-01-01T00:01:00Z,2\n")
    trace = read_trace(file, site(), datetime(2026, 1, 1, 0, 1))  # noqa: DTZ001 - without a zone on purpose
    assert trace.at(0)[0].real == 2000
    assert trace.start == datetime(2026, 1, 1, 0, 1, tzinfo=UTC)


def test_gzip_by_content_whatever_the_name(tmp_path: Path) -> None:
    file = tmp_path / "loads.csv"
    file.write_bytes(gzip.compress(b"\xef\xbb\xbftime,a_kW\r\n2026-01-01,1\r\n"))
    assert read_trace(file, site()).at(0)[0].real == 1000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"loads\.csv:1: no column 'time'; columns are none"),
        ("time;a_kW\n2026-01-01;1\n", r":1: no column 'time'; use commas between columns"),
        ("a,b\n1,2\n", r":1: no column 'time'; columns are a, b"),
        (
            "time,x\n2026-01-01,1\n",
            r":1: no column drives a load of this site; expected are names like 'a_kW'; columns are time, x",
        ),
        ("time,a_kW,a_kW\n", r":1: column 'a_kW' stands there twice"),
        ("time,a_kW\n", r":1: no values below the heading"),
        ("time,a_kW\n2026-01-01,1\nnever,2\n", r":3: 'never' is not a time"),
        ("time,a_kW\n2026-01-01,1\n\n2026-01-01,2\n", r":4: time 2026-01-01 does not come after"),
        ("time,a_kW\n2026-01-01,one\n", r":2: 'one' in column 'a_kW' is not a number"),
        ("time,a_kW\n2026-01-01,1,2\n", r":2: 3 cells, the heading has 2"),
        ("time,a_kW\n2026-01-01,\n", r"column 'a_kW' holds no value at all"),
    ],
)
def test_wrong_files_are_one_line_with_the_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read_trace(write(tmp_path, text), site())
    assert "\n" not in str(caught.value)


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        read_trace(tmp_path / "none.csv", site())
    with pytest.raises(UserError, match="directory"):
        read_trace(tmp_path, site())
    binary = tmp_path / "b.csv"
    binary.write_bytes(bytes(range(128, 256)))
    with pytest.raises(UserError, match=r"b\.csv:1: cannot be read as CSV"):
        read_trace(binary, site())
    whole = gzip.compress(b"time,a_kW\n" + b"2026-01-01,1\n" * 1000)
    binary.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cannot be read as CSV"):
        read_trace(binary, site())


def test_start_outside_of_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, "time,a_kW\n2026-01-01,1\n2026-01-02,1\n")
    with pytest.raises(UserError, match="2027-01-01T00:00:00 is outside 2026-01-01T00:00:00 … 2026-01-03T00:00:00"):
        read_trace(file, site(), datetime(2027, 1, 1, tzinfo=UTC))
