"""What every test shares: the folder of real scenes, and no window."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples every time, and no limit on time: the first one may compile a kernel. `HYPOTHESIS_PROFILE=default`
# looks for new ones.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # before anything imports pygame
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

REPO = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with real scenes: TRAFFICGYM_TEST_DATA, else ``../shared`` beside the repository.

    A missing folder skips the test, unless TRAFFICGYM_REQUIRE_DATA=1 (the continuous integration) makes it fail.
    """
    root = (REPO / os.environ.get("TRAFFICGYM_TEST_DATA", "../shared")).resolve()
    if not (root / "data").is_dir():
        reason = (
            f"no real scenes: {root / 'data'} does not exist; set TRAFFICGYM_TEST_DATA to the folder that holds data/"
        )
        if os.environ.get("TRAFFICGYM_REQUIRE_DATA") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return root
