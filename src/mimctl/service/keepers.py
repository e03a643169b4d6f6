"""Whether what keeps the links up goes on: none of it should ever end, and a link that nobody keeps up stays silent for good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from mimctl.control.events import EventLog
from mimctl.model.problem import Severity
from mimctl.model.protocols import DriverGroup, Tended
from mimctl.model.tasks import first_death


@dataclass(eq=False)
class KeeperWatch:
    """Looks after the tasks of the links. The other links go on: one that is dead is no reason to release everybody's devices."""

    groups: Sequence[DriverGroup]
    events: EventLog
    _told: set[str] = field(default_factory=set)
    _log: Any = field(default_factory=lambda: structlog.get_logger("mimctl.service"))

    def look(self) -> None:
        """Tell of each link whose task has ended; with where, once."""
        for group in self.groups:
            died = first_death(group.background()) if isinstance(group, Tended) else None
            if died is None or group.link in self._told:
                continue
            self._told.add(group.link)
            self._log.error("what keeps a link up has died", link=group.link, how=died.how, exc_info=died)
            text = f"{died.task} {died.how}: its devices stay unreachable until mimctl is started anew; the log says where"
            self.events.raise_("link.task_died", Severity.ERROR, group.link, text)
