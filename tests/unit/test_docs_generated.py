"""The pages that come from the code are the ones that the code makes now (`make docs` writes them)."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def generator():
    sys.path.insert(0, str(ROOT / "tools"))  # as when it is run
    spec = importlib.util.spec_from_file_location("generate_docs", ROOT / "tools" / "generate_docs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = generator()


@pytest.mark.parametrize("page", list(GENERATOR.PAGES))
def test_the_page_is_up_to_date(page):
    assert (ROOT / "docs" / page).read_text(encoding="utf-8") == GENERATOR.PAGES[page](), "make docs writes it anew"


def test_checking_writes_nothing_and_says_what_is_stale(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(GENERATOR, "DOCS", tmp_path)
    monkeypatch.setattr(GENERATOR, "PAGES", {"page.md": lambda: "new"})
    assert GENERATOR.main(["--check"]) == 1
    assert not (tmp_path / "page.md").exists()
    assert GENERATOR.main([]) == 0
    assert (tmp_path / "page.md").read_text() == "new"
    assert GENERATOR.main(["--check"]) == 0
    assert "page.md" in capsys.readouterr().out
