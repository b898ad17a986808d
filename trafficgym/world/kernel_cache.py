"""Compiled kernels that no longer match their sources are thrown away.

Numba keeps compiled kernels beside their sources, or in NUMBA_CACHE_DIR, and compiles one anew when its own file
changes. What it takes from other modules (a geometry function, the number of a column) is compiled into it all the
same, and a change there goes unnoticed: after an edit of geometry.py, or a `git pull` into an editable install,
collisions would stay as they were.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import sha1
from pathlib import Path
from zlib import crc32

STAMP = "kernels.stamp"
CONSTANTS = ("world/state.py", "scene/scene.py")
"""Modules without kernels whose numbers are compiled into them."""


def discard_stale_kernels(package: Path, *shared: Path) -> None:
    """Delete the compiled kernels of a package if a source that its kernels share has changed since the last call.

    It says nothing and raises nothing: where the folder cannot be written to, nobody has edited it either. Processes
    that start at the same time may each delete them, which costs time but is safe, as Numba expects files to vanish.

    Args:
        package: Folder of the package.
        shared: Folders of the modules whose functions its kernels take; default its ``world``.
    """
    folder = _cache_of(package)
    try:
        now = _fingerprint(package, shared or (package / "world",))
        if _read(folder / STAMP) == now:
            return
        for sources in (package, *(path for path in package.rglob("*") if path.is_dir())):
            for file in _cache_of(sources).glob("*.nb[ic]"):
                file.unlink(missing_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        written = folder / f"{STAMP}.{os.getpid()}"
        written.write_bytes(now)
        written.replace(folder / STAMP)
    except OSError:
        pass


def _cache_of(sources: Path) -> Path:
    """Where Numba keeps the kernels of a folder of sources."""
    elsewhere = os.environ.get("NUMBA_CACHE_DIR")
    if not elsewhere:
        return sources / "__pycache__"
    # The name that `get_suitable_cache_subpath` of Numba's cache locators makes.
    return Path(elsewhere) / f"{sources.name}_{sha1(str(sources).encode()).hexdigest()}"


def _fingerprint(package: Path, shared: Sequence[Path]) -> bytes:
    """By content, since copies and checkouts change the times of files, or keep them."""
    lines = []
    roots = {package, *(folder.parent for folder in shared)}
    constants = {file for root in roots for name in CONSTANTS if (file := root / name).exists()}
    for file in sorted({*constants, *(file for folder in shared for file in folder.glob("*.py"))}):
        source = file.read_bytes()
        if b"njit" in source or file in constants:
            lines.append(b"%s %08x" % (file.name.encode(), crc32(source)))
    return b"\n".join(lines)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""
