"""The same control cycle on a virtual clock against the plant, and how much good it did."""

from __future__ import annotations
