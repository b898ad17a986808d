"""What evolves: state, dynamics, events, controllers, and the loop that steps them."""

from pathlib import Path

from trafficgym.world.kernel_cache import discard_stale_kernels

# Before the first kernel is loaded.
discard_stale_kernels(Path(__file__).absolute().parents[1])
