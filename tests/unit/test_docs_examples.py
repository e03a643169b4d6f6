"""Every whole site file that a page shows is one that `mimctl check` finds nothing wrong with."""

import re
from pathlib import Path

import pytest

from mimctl.config.site import check_site

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def examples():
    for page in PAGES:
        blocks = re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for number, block in enumerate(b for b in blocks if re.search(r"^schema: 1$", b, flags=re.MULTILINE)):
            yield pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")


@pytest.mark.parametrize("text", list(examples()))
def test_the_example_is_right(text, tmp_path):
    file = tmp_path / "site.yaml"
    file.write_text(text, encoding="utf-8")
    site, problems = check_site(file)
    assert [str(p) for p in problems] == []
    assert site is not None


def test_the_readme_shows_a_whole_site():
    assert any("README.md" in example.id for example in examples())
