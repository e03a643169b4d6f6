"""What the repository promises about itself: lock files, hooks, links between pages, the licence."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", sorted((ROOT / "requirements").iterdir()), ids=lambda p: p.name)
def test_lock_files_hold_no_address(file):
    assert "://" not in file.read_text(encoding="utf-8")


@pytest.mark.parametrize("file", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda p: p.name)
def test_every_pin_is_exact_and_hashed(file):
    for block in re.split(r"\n(?=\S)", file.read_text(encoding="utf-8").strip()):
        assert re.match(r"[a-z0-9-]+(\[[a-z,]+\])?==\S+", block), block
        assert "--hash=sha256:" in block, block


def test_core_requirements_are_those_of_the_package():
    lines = (ROOT / "requirements" / "core.in").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not line.startswith("#")] == PROJECT["project"]["dependencies"]


def pins(name):
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, flags=re.MULTILINE))


@pytest.mark.parametrize("name", ["lorawan", "zigbee"])
def test_requirements_of_an_extra_are_those_of_the_package(name):
    lines = (ROOT / "requirements" / f"{name}.in").read_text(encoding="utf-8").splitlines()
    assert {line for line in lines if not line.startswith("#")} == set(PROJECT["project"]["optional-dependencies"][name])


@pytest.mark.parametrize("name", ["core", "build", "lorawan", "zigbee"])
def test_all_sets_pin_the_same_versions(name):
    assert pins(name).items() <= pins("dev").items()


def test_hooks_run_local_tools_only():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repo["repo"] for repo in hooks["repos"]] == ["local"]
    assert {hook["language"] for repo in hooks["repos"] for hook in repo["hooks"]} == {"system", "pygrep"}


def test_the_licence_is_the_apache_licence_2():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert PROJECT["project"]["license"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def headings(page: Path) -> set[str]:
    """What can stand behind # in a link to a page: its headings in lower case, with hyphens for blanks."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return {
        re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ +(.+?) *$", text, flags=re.MULTILINE)
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_into_pages_name_a_heading(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target, heading in re.findall(r"\]\(([^)#\s]*)#([^)]+)\)", text):
        if "://" not in target:
            assert heading in headings(page.parent / target if target else page), f"{target}#{heading}"


def test_every_page_can_be_reached_from_the_index():
    index = ROOT / "docs" / "index.md"
    seen, todo = set(), [index]
    while todo:
        page = todo.pop()
        if page in seen:
            continue
        seen.add(page)
        for target in re.findall(r"\]\(([^)#\s]+\.md)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                todo.append((page.parent / target).resolve())
    assert set((ROOT / "docs").rglob("*.md")) <= seen


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "decisions").glob("0*.md")), ids=lambda p: p.stem)
def test_a_decision_has_its_parts(page):
    text = page.read_text(encoding="utf-8")
    assert re.match(r"# \d{4} .+\n\nDate: \d{4}-\d{2}-\d{2}\n", text)
    parts = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    assert parts == ["Context", "Decision", "Why", "Consequences"]


def test_decision_numbers_are_given_once():
    numbers = [p.name[:4] for p in (ROOT / "docs" / "decisions").glob("0*.md")]
    assert len(numbers) == len(set(numbers))
