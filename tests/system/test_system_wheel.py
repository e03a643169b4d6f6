"""The installed product: built as a wheel, in an environment of its own, far from the checkout."""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from mimctl import __version__

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    target = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)], cwd=ROOT, check=True, timeout=120
    )
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Directory with `bin/mimctl`: the wheel itself, and beside it the dependencies of the environment that runs the tests."""
    home = tmp_path_factory.mktemp("installed with space")
    venv = home / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True, timeout=120)
    pip = [sys.executable, "-m", "pip", "--python", str(venv / "bin" / "python"), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True, timeout=120)
    (site_packages,) = venv.glob("lib/python*/site-packages")
    # A path named in a .pth file is searched, but the .pth files in it are not read: the checkout stays out of sight.
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return venv


@pytest.fixture
def run(installed, tmp_path):
    own = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state"), "XDG_RUNTIME_DIR": str(tmp_path)}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | own

    def start(*command, timeout=60):
        """Run in a session of its own, so that what it leaves behind can be found."""
        process = subprocess.Popen(
            [str(installed / "bin" / command[0]), *command[1:]],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            out, err = process.communicate(timeout=timeout)
        finally:
            process.kill()
            process.wait(10)
        assert process.returncode == 0, err
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)
        return out

    return start


def packaged_demo(run):
    return run("python", "-c", "from mimctl.model.resources import site_config as s; print(s('demo'))").strip()


def test_the_wheel_carries_code_data_and_licence(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert f"mimctl-{__version__}.dist-info/licenses/LICENSE" in names
    assert "mimctl/py.typed" in names
    data = {"site_configs": "mimctl/data/site_configs", "device_profiles": "mimctl/data/device_profiles"}
    for source, target in data.items():
        files = [p for p in (ROOT / source).rglob("*") if p.is_file() and not p.name.startswith(".")]
        assert {f"{target}/{p.relative_to(ROOT / source)}" for p in files} <= names


def test_it_runs_from_where_it_was_installed(run, installed):
    assert run("mimctl", "--version") == f"mimctl {__version__}\n"
    place = run("python", "-c", "import mimctl; print(mimctl.__file__)").strip()
    assert Path(place).is_relative_to(installed)


def test_the_packaged_demo_site_is_found_and_checks(run, installed):
    site = packaged_demo(run)
    assert Path(site).is_relative_to(installed)
    run("mimctl", "check", site)


def test_the_demo_runs_and_leaves_nothing_behind(run, tmp_path):
    run("mimctl", "demo", "--seconds", "12", "--no-live", "--json", "out.json", timeout=120)
    result = json.loads((tmp_path / "out.json").read_text())
    assert {"baseline", "controlled"} <= result.keys()
