"""Standard streams that the caller has closed (`mimctl … >&-`, or a service manager that gives none)."""

from __future__ import annotations

import os
import sys


def stand_in_for_closed() -> None:
    """Put the null device where a standard stream is missing.

    Nobody reads then, which is no error of the command. And without it the next file or socket would get the descriptor 0, 1
    or 2: what a library prints would end up in there.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is not None:
            continue
        null = os.open(os.devnull, os.O_RDWR)
        if null != descriptor:
            os.dup2(null, descriptor, inheritable=True)
            os.close(null)
        os.set_inheritable(descriptor, True)
        stream = os.fdopen(descriptor, "r" if descriptor == 0 else "w", encoding="utf-8", errors="replace", closefd=False)
        setattr(sys, name, stream)
