"""What evolves: state, dynamics, events, controllers, and the loop that steps them."""

from pathlib import Path

from trafficgym.world.kernel_cache import discard_stale_kernels

# Before the first kernel is loaded.
_PACKAGE = Path(__file__).absolute().parents[1]
discard_stale_kernels(_PACKAGE, _PACKAGE / "world", _PACKAGE / "metrics" / "wosac")
