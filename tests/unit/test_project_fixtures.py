"""What is automatic in every test does catch what it is there for."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]

CASES = """
import asyncio, gc, logging, warnings
import pytest

log = logging.getLogger("mimctl.somewhere")

def test_good_call():
    log.debug("%d of %s", 1, "two")

def test_bad_call_at_any_level():
    log.debug("%d of them", "many")

@pytest.mark.loses_task_errors
async def test_loses_an_error_on_purpose():
    async def broken():
        raise ValueError("lost")
    task = asyncio.create_task(broken())
    await asyncio.sleep(0)
    del task
    gc.collect()

@pytest.mark.bound_s(0.05)
async def test_hangs():
    await asyncio.Event().wait()

async def test_task_keeps_its_error_to_itself():
    async def broken():
        raise ValueError("lost")
    task = asyncio.create_task(broken())
    await asyncio.sleep(0)
    del task
    gc.collect()

def test_warns():
    warnings.warn("old")
"""


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fixtures")
    shutil.copy(TESTS / "conftest.py", folder)
    shutil.copy(TESTS.parent / "pyproject.toml", folder)
    (folder / "test_cases.py").write_text(CASES)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", "--tb=short", "test_cases.py"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    return run.stdout


def results(outcome, word):
    return set(re.findall(rf"^{word} test_cases.py::(\w+)", outcome, flags=re.MULTILINE))


def test_good_tests_pass(outcome):
    assert results(outcome, "PASSED") >= {"test_good_call", "test_loses_an_error_on_purpose"}


def test_bad_tests_fail(outcome):
    failed = results(outcome, "FAILED") | results(outcome, "ERROR")
    assert failed == {"test_bad_call_at_any_level", "test_hangs", "test_task_keeps_its_error_to_itself", "test_warns"}


def test_the_complaint_names_the_call(outcome):
    assert re.search(r"badly formatted log call at \S+test_cases.py:\d+: '%d of them'", outcome)
    assert "Task exception was never retrieved" in outcome
