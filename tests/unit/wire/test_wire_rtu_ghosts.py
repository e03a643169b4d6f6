"""Which late answers are remembered, recognised and forgotten."""

from __future__ import annotations

import struct

from mimctl.wire.modbus_frames import READS, WRITES
from mimctl.wire.rtu_frames import Expected, rtu_frame, whole_answer
from mimctl.wire.rtu_ghosts import Ghosts


def reading(count: int, unit: int = 1) -> Expected:
    return Expected.of(READS[3](unit, 1000, count))


def answer(count: int, unit: int = 1) -> bytes:
    return rtu_frame(unit, bytes([3, 2 * count]) + struct.pack(f">{count}H", *range(count)))


def test_late_answer_is_recognised_once() -> None:
    ghosts = Ghosts()
    ghosts.add(reading(4), 0.0)
    frame = whole_answer(answer(4))
    assert frame is not None
    assert ghosts.came(frame)
    assert not ghosts.came(frame)
    assert not ghosts.any(1.0)


def test_late_exception_is_recognised() -> None:
    ghosts = Ghosts()
    ghosts.add(reading(4), 0.0)
    frame = whole_answer(rtu_frame(1, b"\x83\x02"))
    assert frame is not None
    assert ghosts.came(frame)


def test_only_answers_of_the_same_unit_and_function_look_alike() -> None:
    ghosts = Ghosts()
    ghosts.add(reading(4), 0.0)
    assert ghosts.like(reading(9), 1.0), "an exception to both would be the same frame"
    assert not ghosts.like(reading(4, unit=2), 1.0)
    assert not ghosts.like(Expected.of(READS[4](1, 1000, 4)), 1.0)
    assert not ghosts.like(Expected.of(WRITES[16](1, 1000, 1, b"\0\0")), 1.0)
    assert ghosts.like(Expected.of(READS[3](2, 1000, 4), any_unit=True), 1.0)


def test_devices_answer_in_order() -> None:
    ghosts = Ghosts()
    for count in (4, 5, 6):
        ghosts.add(reading(count), 0.0)
    ghosts.add(reading(4, unit=2), 0.0)
    frame = whole_answer(answer(5))
    assert frame is not None
    assert ghosts.came(frame)
    assert [g.size for g in ghosts.like(reading(1), 1.0)] == [5 + 12], "the one asked before will not come any more"
    ghosts.outlived(1)
    assert not ghosts.like(reading(1), 1.0)
    assert ghosts.like(reading(1, unit=2), 1.0)


def test_found_among_other_bytes() -> None:
    ghosts = Ghosts()
    ghosts.add(reading(4), 0.0)
    ghosts.add(reading(2, unit=2), 0.0)
    assert ghosts.exorcise(b"\xff" + answer(4) + answer(2, unit=2) + b"\0") == 2
    assert not ghosts.any(0.0)


def test_forgotten_after_half_a_minute_and_never_too_many() -> None:
    ghosts = Ghosts()
    for count in range(1, 101):
        ghosts.add(reading(count), 0.0)
    assert 1 <= len(ghosts.like(reading(1), 29.0)) <= 100
    assert not ghosts.like(reading(1), 31.0)
    assert not ghosts.any(31.0)


def test_beginning_of_one_that_is_still_coming() -> None:
    ghosts = Ghosts()
    ghosts.add(reading(4), 0.0)
    assert ghosts.begins(answer(4)[:6])
    assert not ghosts.begins(answer(3)[:6])
