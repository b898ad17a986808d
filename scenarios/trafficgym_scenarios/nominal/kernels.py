"""Compiled kernels of this package that no longer match its sources are thrown away.

`trafficgym.world.kernel_cache` says why: Numba does not notice a change in a module that a kernel takes functions from.
"""

from __future__ import annotations

import os
from hashlib import sha1
from pathlib import Path
from zlib import crc32

STAMP = "kernels.stamp"


def discard_stale_kernels() -> None:
    """Delete the compiled kernels if a source has changed since the last call; says and raises nothing."""
    sources = Path(__file__).absolute().parent
    elsewhere = os.environ.get("NUMBA_CACHE_DIR")
    folder = sources / "__pycache__"
    if elsewhere:
        folder = Path(elsewhere) / f"{sources.name}_{sha1(str(sources).encode()).hexdigest()}"
    try:
        now = b"\n".join(b"%s %08x" % (f.name.encode(), crc32(f.read_bytes())) for f in sorted(sources.glob("*.py")))
        stamp = folder / STAMP
        if stamp.exists() and stamp.read_bytes() == now:
            return
        for file in folder.glob("*.nb[ic]"):
            file.unlink(missing_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        written = folder / f"{STAMP}.{os.getpid()}"
        written.write_bytes(now)
        written.replace(stamp)
    except OSError:
        pass
