"""A change in one module reaches the kernels of the others, compiled earlier or not."""

from __future__ import annotations

import os
import subprocess
import sys
from multiprocessing.pool import ThreadPool
from pathlib import Path

import pytest

from trafficgym.world.kernel_cache import CONSTANTS, STAMP, discard_stale_kernels

GEOMETRY = "from numba import njit\n\n\n@njit(cache=True)\ndef width():\n    return {}\n"
EVENTS = (
    "from numba import njit\nfrom road.world.geometry import width\n\n\n"
    "@njit(cache=True)\ndef twice():\n    return 2 * width()\n"
)
INIT = (
    "from pathlib import Path\nfrom trafficgym.world.kernel_cache import discard_stale_kernels\n"
    "discard_stale_kernels(Path(__file__).absolute().parents[1])\n"
)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package `road` whose ``world.events`` calls ``world.geometry``."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    root = tmp_path / "road"
    for name, source in {
        "__init__.py": "",
        "world/__init__.py": INIT,
        "world/geometry.py": GEOMETRY.format(1),
        "world/events.py": EVENTS,
        **dict.fromkeys(CONSTANTS, ""),
    }.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(source)
    return root


def kernels(package: Path) -> list[Path]:
    return sorted(package.rglob("*.nb[ic]"))


def run(package: Path, **extra: str) -> int:
    """What the kernel returns in a fresh process."""
    code = "from road.world.events import twice; print(twice())"
    env = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA")} | extra
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=package.parent, env=env, capture_output=True, text=True, check=True
    )
    assert not done.stderr
    return int(done.stdout)


def test_a_change_in_a_module_that_a_kernel_calls_is_noticed(package: Path) -> None:
    assert run(package) == 2
    assert kernels(package)
    (package / "world/geometry.py").write_text(GEOMETRY.format(3))
    assert run(package) == 6


def test_it_is_noticed_where_kernels_are_kept_elsewhere(package: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "kernels" / "of all"
    assert run(package, NUMBA_CACHE_DIR=str(elsewhere)) == 2
    assert kernels(elsewhere) and not kernels(package)
    (package / "world/geometry.py").write_text(GEOMETRY.format(3))
    assert run(package, NUMBA_CACHE_DIR=str(elsewhere)) == 6


def with_kernel(package: Path) -> Path:
    """As after a run: a stamp, and a kernel."""
    discard_stale_kernels(package)
    kernel = package / "world/__pycache__/events.twice-4.py311.nbi"
    kernel.parent.mkdir(exist_ok=True)
    kernel.touch()
    return kernel


def test_kernels_stay_while_nothing_that_they_share_changes(package: Path) -> None:
    kernel = with_kernel(package)
    (package / "world/geometry.py").touch()  # only its time
    (package / "world/no_kernel.py").write_text("x = 1\n")
    discard_stale_kernels(package)
    assert kernel.exists()
    for name in ("world/geometry.py", *CONSTANTS):
        kernel = with_kernel(package)
        (package / name).write_text((package / name).read_text() + "# changed\n")
        discard_stale_kernels(package)
        assert not kernel.exists()


def test_kernels_from_before_there_was_a_stamp_go(package: Path) -> None:
    kernel = with_kernel(package)
    (package / "__pycache__" / STAMP).unlink()
    discard_stale_kernels(package)
    assert not kernel.exists()


def test_many_at_once_leave_one_whole_stamp(package: Path) -> None:
    kernel = with_kernel(package)
    (package / "world/geometry.py").write_text(GEOMETRY.format(5))
    with ThreadPool(8) as pool:
        pool.map(discard_stale_kernels, [package] * 32)
    assert not kernel.exists()
    assert [file.name for file in (package / "__pycache__").iterdir()] == [STAMP]


def test_where_nothing_can_be_written_or_read_it_is_silent(package: Path) -> None:
    (package / "__pycache__").write_text("a file where the folder should be")
    discard_stale_kernels(package)
    discard_stale_kernels(package / "not there")


def test_kernels_that_take_functions_from_another_package_notice_its_changes(package: Path, tmp_path: Path) -> None:
    ours = tmp_path / "ours"
    (ours / "__pycache__").mkdir(parents=True)
    shared = (ours, package / "world")
    for name in ("world/geometry.py", CONSTANTS[0]):
        discard_stale_kernels(ours, *shared)
        kernel = ours / "__pycache__" / "law.step-4.py311.nbi"
        kernel.touch()
        discard_stale_kernels(ours, *shared)
        assert kernel.exists()
        (package / name).write_text((package / name).read_text() + "# changed\n")
        discard_stale_kernels(ours, *shared)
        assert not kernel.exists()
