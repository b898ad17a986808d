"""`trafficgym doctor`: what is installed, what works here, and the command that mends what does not."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import tyro

Level = Literal["ok", "warn", "fail"]

CORE = (
    "numpy",
    "numba",
    "gymnasium",
    "pettingzoo",
    "pygame",
    "shapely",
    "pyarrow",
    "protobuf",
    "google-crc32c",
    "array-api-compat",
)
EXTRAS = {
    "womd": ("tensorflow-cpu", "tensorflow"),
    "agents": ("torch",),
    "baselines": ("stable-baselines3",),
    "scale": ("ray",),
}
NEEDED_DISK_GB = 2.0


@dataclass(frozen=True, kw_only=True)
class Args:
    """Print versions, display and data path, and the fix for what is wrong; status 1 where something must be fixed."""

    data: Path | None = None
    """Folder with scenes for tests (default: TRAFFICGYM_TEST_DATA, else ../shared)."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the report."""

    level: Level
    what: str
    says: str
    fix: str = ""  # what to type or do; empty where nothing is wrong


def main(argv: Sequence[str]) -> int:
    """Run the checks; return 1 where one of them failed, else 0."""
    args = tyro.cli(Args, prog="trafficgym doctor", args=list(argv))
    findings = list(examine(args.data))
    for finding in findings:
        print(f"{finding.level:<6}{finding.what:<18}{finding.says}")
        if finding.fix:
            print(f"{'':<24}fix: {finding.fix}")
    failed = sum(finding.level == "fail" for finding in findings)
    warned = sum(finding.level == "warn" for finding in findings)
    print(f"\n{failed} to fix, {warned} to know about, {len(findings) - failed - warned} in order")
    return 1 if failed else 0


def examine(data: Path | None = None) -> Iterator[Finding]:
    """Run every check in turn; a check that itself breaks is reported as failed."""
    checks: list[Callable[[], Iterator[Finding]]] = [
        check_python,
        check_core,
        check_extras,
        check_numba_cache,
        check_display,
        check_ffmpeg,
        lambda: check_data(data),
        check_disk,
    ]
    for check in checks:
        try:
            yield from check()
        except Exception as error:
            yield Finding(level="fail", what=check.__name__.removeprefix("check_"), says=f"{error!r}")


def check_python() -> Iterator[Finding]:
    """Python's version, and the machine."""
    says = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    yield Finding(level="ok", what="python", says=says)
    installed = _version("trafficgym")
    yield Finding(
        level="ok" if installed else "warn",
        what="trafficgym",
        says=installed or "runs from a checkout and is not installed",
        fix="" if installed else 'pip install -e ".[all]" -c constraints.txt',
    )


def check_core() -> Iterator[Finding]:
    """Packages without which nothing runs."""
    for name in CORE:
        found = _version(name)
        fix = "" if found else "pip install -e . -c constraints.txt"
        yield Finding(level="ok" if found else "fail", what=name, says=found or "missing", fix=fix)


def check_extras() -> Iterator[Finding]:
    """Packages that an extra brings; only what needs them fails without."""
    for extra, names in EXTRAS.items():
        found = [f"{name} {_version(name)}" for name in names if _version(name)]
        if found:
            yield Finding(level="ok", what=f"[{extra}]", says=", ".join(found))
        else:
            fix = f'pip install -e ".[{extra}]" -c constraints.txt'
            yield Finding(level="warn", what=f"[{extra}]", says=f"{names[0]} is not installed", fix=fix)


def check_numba_cache() -> Iterator[Finding]:
    """Where compiled kernels are kept: without it every process compiles them again."""
    folder = Path(os.environ.get("NUMBA_CACHE_DIR") or Path(__file__).parents[1] / "world")
    if _is_writable(folder):
        yield Finding(level="ok", what="kernel cache", says=f"{folder} is writable")
    else:
        fix = 'export NUMBA_CACHE_DIR="$HOME/.cache/trafficgym-numba"'
        yield Finding(level="warn", what="kernel cache", says=f"{folder} is not writable", fix=fix)


def check_display() -> Iterator[Finding]:
    """Whether a window opens; tried in a process of its own, since SDL may abort. Pictures need none."""
    code = "import pygame; pygame.display.init(); pygame.display.set_mode((8, 8)); print(pygame.display.get_driver())"
    environment = {**os.environ, "PYGAME_HIDE_SUPPORT_PROMPT": "1"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=20, env=environment, check=False
        )
        driver, opened = done.stdout.strip(), done.returncode == 0
    except subprocess.TimeoutExpired:
        driver, opened = "", False
    if opened and driver not in ("dummy", "offscreen"):
        yield Finding(level="ok", what="display", says=f"a window opens ({driver})")
    else:
        says = f"SDL draws to nothing ({driver})" if opened else "no window opens"
        fix = "for windows: unset SDL_VIDEODRIVER, or log in with `ssh -X`; `trafficgym record` needs no display"
        yield Finding(level="warn", what="display", says=says, fix=fix)


def check_ffmpeg() -> Iterator[Finding]:
    """The encoder for MP4; GIF and PNG need none."""
    try:
        import imageio_ffmpeg

        yield Finding(level="ok", what="ffmpeg", says=str(imageio_ffmpeg.get_ffmpeg_exe()))
    except (ImportError, RuntimeError):
        fix = 'pip install "imageio[ffmpeg]" -c constraints.txt'
        yield Finding(level="warn", what="ffmpeg", says="not found; MP4 cannot be written (GIF and PNG can)", fix=fix)


def check_data(data: Path | None) -> Iterator[Finding]:
    """The folder of real scenes that tests and benchmarks read; everything else works without."""
    root = data or Path(os.environ.get("TRAFFICGYM_TEST_DATA", "../shared"))
    if (root / "data").is_dir():
        yield Finding(level="ok", what="test data", says=str(root.resolve()))
    else:
        fix = "export TRAFFICGYM_TEST_DATA=/path/to/the/folder/that/holds/data"
        yield Finding(level="fail" if data else "warn", what="test data", says=f"no {root / 'data'}", fix=fix)


def check_disk() -> Iterator[Finding]:
    """Room in the current and the temporary folder."""
    for what, folder in (("disk here", Path.cwd()), ("disk for temp", Path(tempfile.gettempdir()))):
        free_gb = shutil.disk_usage(folder).free / 1e9
        says = f"{free_gb:.1f} GB free at {folder}"
        if free_gb >= NEEDED_DISK_GB and _is_writable(folder):
            yield Finding(level="ok", what=what, says=says)
        else:
            fix = f"free {NEEDED_DISK_GB:.0f} GB in a folder that you may write to, or set TMPDIR"
            yield Finding(level="warn", what=what, says=says, fix=fix)


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _is_writable(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
