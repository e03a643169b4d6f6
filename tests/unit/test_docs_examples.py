"""Every whole site file, device profile or file of faults that a page shows is one that nothing is wrong with."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mimctl.config.faults import load_faults
from mimctl.config.profiles.registers_profile import check_profile, load_profile
from mimctl.config.profiles.zigbee_profile import check_zigbee_profile
from mimctl.config.site import check_site, load_site
from mimctl.model.resources import site_config
from mimctl.wire.golden import check_vectors

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
#: a golden vector of a device that tells its own register map is a whole chain: too long for a page
LEFT_OUT = ("profile.vector", "profile.command_test")


def examples():
    for page in PAGES:
        blocks = re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for number, block in enumerate(b for b in blocks if re.search(r"^schema: 1$", b, flags=re.MULTILINE)):
            yield pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")


@pytest.mark.parametrize("text", list(examples()))
def test_the_example_is_right(text, tmp_path):
    profile = re.search(r"^id: ([a-z0-9_]+/[a-z0-9_]+)\b", text, flags=re.MULTILINE)
    file = tmp_path / (f"{profile[1]}.yaml" if profile else "site.yaml")
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    if re.search(r"^faults:$", text, flags=re.MULTILINE):
        assert load_faults(file, load_site(site_config("demo")), start=datetime(2026, 1, 5, tzinfo=UTC), seed=1)
        return
    if profile and re.search(r"^attributes:$", text, flags=re.MULTILINE):
        assert [str(p) for p in check_zigbee_profile(file)] == []
        return
    if profile:
        assert [str(p) for p in check_profile(file) if p.code not in LEFT_OUT] == []
        assert check_vectors(load_profile(file)) == []
        return
    site, problems = check_site(file)
    assert [str(p) for p in problems] == []
    assert site is not None


def test_the_readme_shows_a_whole_site():
    assert any("README.md" in example.id for example in examples())
