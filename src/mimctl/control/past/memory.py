"""The last decisions, for whoever asks why: every one of the latest, fewer of the older, never more than a given size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from datetime import datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from mimctl.control.past.light_arrays import AnyArray
from mimctl.model.site import Site

#: so many decisions are kept at most: an hour of cycles of one second
MOST_RECORDS = 3600
#: what the memory of a whole site may take, its zones and its site level together [bytes]
MOST_BYTES = 128 * 2**20
#: of the records the newest part is kept whole; so large a part of all is forgotten at once
_DENSE, _AT_ONCE = 0.25, 64
_OLDEST = timedelta(days=1)
#: of the bytes of a site this share is for the solves of the site level
_SITE_LEVEL = 1 / 8


def share_bytes(site: Site, part: Site | None = None) -> int:
    """What the memory of one zone may take by its size, and without one that of the site level [bytes]."""
    if part is None:
        return int(_SITE_LEVEL * MOST_BYTES)
    return int((1 - _SITE_LEVEL) * MOST_BYTES * _size(part) / max(1, _size(site)))


def _size(site: Site) -> int:
    return len(site.nodes) + sum(len(mim.ports) for mim in site.mims)


class Kept(Protocol):
    """Something that was decided at an instant."""

    @property
    def utc(self) -> datetime: ...

    def arrays(self) -> Iterator[AnyArray]:
        """Its arrays, those that it shares with other records too."""
        ...

    def text_bytes(self, before: Any, /) -> int:
        """What its sentences take [bytes]."""
        ...


Record = TypeVar("Record", bound=Kept)


class Memory(Generic[Record]):
    """A ring of records in the order of time.

    When it is full, those of the older three quarters go whose neighbours are nearest for their age: so the latest minutes are
    there cycle by cycle, and the steps grow with the time since. Nothing is older than a day.

    Args:
        most_bytes: of all arrays (one that several records share counts once) and sentences.
    """

    def __init__(self, most_bytes: int = MOST_BYTES, most_records: int = MOST_RECORDS) -> None:
        self._most_bytes, self._most_records = most_bytes, max(2, most_records)
        self._records: list[Record] = []
        self._texts: list[int] = []
        self._bytes = 0
        #: ids of the arrays of the newest record, which keeps them alive
        self._newest: Set[int] = frozenset()

    def __len__(self) -> int:
        return len(self._records)

    @property
    def nbytes(self) -> int:
        """What it takes [bytes]."""
        return self._bytes

    @property
    def records(self) -> Sequence[Record]:
        """Oldest first."""
        return self._records

    @property
    def newest(self) -> Record | None:
        return self._records[-1] if self._records else None

    def add(self, record: Record) -> None:
        """Remember one more, and forget what there is no room for."""
        before = self.newest
        known, new = self._newest, {id(array): array.nbytes for array in record.arrays()}
        self._newest = new.keys()
        text = record.text_bytes(before)
        self._records.append(record)
        self._texts.append(text)
        self._bytes += text + sum(size for key, size in new.items() if key not in known)
        if len(self._records) > self._most_records or self._bytes > self._most_bytes:
            self._thin(record.utc)

    def at(self, instant: datetime) -> int:
        """Position of the record nearest to an instant; of two as near the later one.

        Raises:
            LookupError: nothing is remembered.
        """
        if not self._records:
            raise LookupError("nothing is remembered yet")
        # all of them: a wall clock that was put back leaves instants out of order
        return min(reversed(range(len(self._records))), key=lambda i: abs(self._records[i].utc - instant))

    def _thin(self, now: datetime) -> None:
        while len(self._records) > self._most_records or self._bytes > self._most_bytes:
            if len(self._records) <= 2:
                # two records of whatever size: what just happened can always be asked for
                return
            for i in sorted(self._dispensable(now), reverse=True):
                self._bytes -= self._own_bytes(i) + self._texts[i]
                del self._records[i], self._texts[i]

    def _own_bytes(self, i: int) -> int:
        """What no other record has: an array is shared by records that stand next to each other."""
        beside = {id(array) for n in (i - 1, i + 1) if 0 <= n < len(self._records) for array in self._records[n].arrays()}
        return sum({id(array): array.nbytes for array in self._records[i].arrays() if id(array) not in beside}.values())

    def _dispensable(self, now: datetime) -> set[int]:
        """Older records whose neighbours are near for their age, no two beside each other; and whatever is older than a day."""
        count = len(self._records)
        age_s = np.array([(now - record.utc).total_seconds() for record in self._records])
        gone = {int(i) for i in np.flatnonzero(age_s > _OLDEST.total_seconds())} - {count - 2, count - 1}
        gap = (age_s[:-2] - age_s[2:]) / (age_s[1:-1] + 1.0)
        older = gap[: max(0, count - 1 - max(2, int(_DENSE * count)))]
        for i in map(int, np.argsort(older, kind="stable") + 1):
            if len(gone) >= max(1, count // _AT_ONCE):
                break
            if gone.isdisjoint((i - 1, i + 1)):
                gone.add(i)
        return gone or {0}
