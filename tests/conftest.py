"""Fixtures that every test may use. What is automatic here holds for every test: bounded waits, clean logging, fixed seeds."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]

#: no coroutine test waits longer; mark one with `@pytest.mark.bound_s(120)` if it must
DEFAULT_BOUND_S = 60.0

# The same examples on every run and on every machine, however slow: a failure is always one that can be repeated.
settings.register_profile(
    "mimctl", derandomize=True, deadline=None, database=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("mimctl")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "bound_s(seconds): the longest this coroutine test may take (default 60)")
    config.addinivalue_line("markers", "loses_task_errors: the test provokes an error that a task keeps to itself")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            mark = item.get_closest_marker("bound_s")
            item.obj = _bounded(item.obj, float(mark.args[0]) if mark else DEFAULT_BOUND_S)


def _bounded(function: Callable, bound_s: float) -> Callable:
    """A test that hangs fails with the line it hangs on."""

    @functools.wraps(function)
    async def wrapper(*args: object, **kwargs: object) -> None:
        async with asyncio.timeout(bound_s):
            await function(*args, **kwargs)

    return wrapper


class _LogJudge(logging.Handler):
    """Formats every record, as a real handler would, and remembers what must not happen."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.complaints: list[str] = []
        self.loses_task_errors = False

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError) as error:
            self.complaints.append(f"badly formatted log call at {record.pathname}:{record.lineno}: {record.msg!r}: {error}")
            return
        if record.name == "asyncio" and record.levelno >= logging.ERROR and not self.loses_task_errors:
            self.complaints.append(f"asyncio: {message}")


@pytest.fixture(autouse=True)
def log_judge(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail on a badly formatted log call at any level and on an error that a task kept to itself."""
    structlog.reset_defaults()  # a command that an earlier test ran may have silenced the logs that this one reads
    judge, root, ours = _LogJudge(), logging.getLogger(), logging.getLogger("mimctl")
    judge.loses_task_errors = request.node.get_closest_marker("loses_task_errors") is not None
    level = ours.level
    ours.setLevel(logging.DEBUG)
    root.addHandler(judge)
    yield
    root.removeHandler(judge)
    ours.setLevel(level)
    if judge.complaints:
        pytest.fail("\n".join(judge.complaints))


@pytest.fixture
def nothing_raw(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No traceback of the event loop and no line of pymodbus reaches anybody."""
    with caplog.at_level(logging.DEBUG, logger="asyncio"):
        yield
    noisy = [r for r in caplog.records if r.levelno >= logging.WARNING or r.name.startswith("pymodbus")]
    assert [r.getMessage() for r in noisy] == []


@pytest.fixture
def free_port() -> int:
    """A TCP port on loopback that nobody listened on a moment ago."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Different ports: all are held at once before any is let go."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


@dataclass(frozen=True, slots=True)
class CliResult:
    code: int
    out: str
    err: str


@pytest.fixture
def run_cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., CliResult]:
    """`run_cli("check", path)`: one command line in this process, through the same door as the installed command."""
    from mimctl.cli.main import main

    def run(*arguments: object) -> CliResult:
        capsys.readouterr()
        code = main([str(a) for a in arguments])
        captured = capsys.readouterr()
        return CliResult(code, captured.out, captured.err)

    return run


@pytest.fixture
def start_mimctl(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`start_mimctl("twin", path)`: a process of its own in an empty directory, gone when the test ends.

    Pipes are given for standard output and error; the environment has its own state and home directories.
    """
    started: list[subprocess.Popen[str]] = []
    home = tmp_path / "home"

    def start(*arguments: object, **options: object) -> subprocess.Popen[str]:
        home.mkdir(exist_ok=True)
        own = {"HOME": str(home), "XDG_STATE_HOME": str(home / "state"), "XDG_RUNTIME_DIR": str(home)}
        process = subprocess.Popen(
            [sys.executable, "-m", "mimctl", *map(str, arguments)],
            **{"cwd": home, "env": {**os.environ, **own}, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            | options,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    with process:  # closes the pipes as well
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate(timeout=10)
