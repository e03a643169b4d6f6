"""Device profiles that a test writes."""

from __future__ import annotations

from pathlib import Path


def write_profile(folder: Path, text: str, name: str = "acme/m1") -> Path:
    """A file of this id where profiles beside a site file are looked for."""
    path = folder / "device_profiles" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
