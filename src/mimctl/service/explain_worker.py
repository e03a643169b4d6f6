"""`python -m mimctl.service.explain_worker`: explanations in a process of their own, so that no cycle waits for them.

Reads one pickled (cases, question) from the service that started it, writes the answers as JSON, ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import sys

#: the service comes first
_NICE = 10


def main() -> int:
    """Explain what is on standard input."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    with contextlib.suppress(OSError):
        os.nice(_NICE)
    from mimctl.control.explain.answer import answer

    cases, question = pickle.load(sys.stdin.buffer)
    sys.stdout.write(json.dumps([answer(case, question) for case in cases], allow_nan=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
