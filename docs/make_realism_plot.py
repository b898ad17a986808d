"""Draw how the variance of the realism reward depends on the number of rollouts: `python docs/make_realism_plot.py`.

The scenes are generated. A rollout is the log with everybody at a wrong speed, drifting off to a side.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from trafficgym.metrics.wosac import Realism, fill_gaps
from trafficgym.rewards import rollout_rewards
from trafficgym.scene.scene import Scene
from trafficgym_scenarios import NominalConfig, nominal_scenes

PICTURE = Path(__file__).parent / "images/realism_variance.png"
NUMBERS = np.array([4, 8, 16, 32, 64])
FITTED = NUMBERS >= 8
TOTAL = 256  # rollouts of each scene, in groups of N
KINDS: tuple[tuple[Any, str, str], ...] = (("rloo", "#d1495b", "RLOO"), ("mloo", "#2e5eaa", "MLOO"))


def perturbed(scene: Scene, realism: Realism, num: int) -> NDArray[np.float64]:
    """Draw rollouts of the simulated objects, ``[num, N, 80, 4]``: x, y, z [m], yaw [rad], scene frame."""
    rng, tracks, rows = np.random.default_rng(0), scene.tracks, realism.tracks
    motion = np.stack([getattr(tracks, name)[rows, 10:91] for name in ("x", "y", "z", "yaw", "vx", "vy")], axis=-1)
    log = fill_gaps(motion, tracks.valid[rows, 10:91])[:, 1:]
    speed = rng.normal(1.0, 0.1, (num, len(rows), 1, 1))
    drift = rng.normal(0.0, 1.0, (num, len(rows), 1, 2)) * np.linspace(0, 1, 80)[:, None]
    rollouts = np.repeat(log[None], num, axis=0)
    start = log[:, :1, :2]
    rollouts[..., :2] = start + (log[..., :2] - start) * speed + drift
    return rollouts


def variance(scene: Scene, kind: Any) -> NDArray[np.float64]:
    """Variance of the reward over rollouts for each of `NUMBERS`."""
    realism = Realism(scene)
    rollouts = perturbed(scene, realism, TOTAL)
    return np.array(
        [
            np.var([rollout_rewards(realism, g, ids=realism.ids, kind=kind) for g in np.split(rollouts, TOTAL // num)])
            for num in NUMBERS
        ]
    )


def draw() -> None:
    """Write the picture."""
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axis = figure.subplots()
    scenes = nominal_scenes(8, config=NominalConfig(roads="highway"))
    for kind, color, label in KINDS:
        values = np.array([variance(scene, kind) for scene in scenes])
        mean = np.exp(np.log(values).mean(0))
        slope, offset = np.polyfit(np.log(NUMBERS[FITTED]), np.log(mean[FITTED]), 1)
        axis.plot(NUMBERS, values.T, color=color, alpha=0.2, linewidth=0.8)
        axis.plot(NUMBERS, mean, "o", color=color)
        line = np.exp(offset) * NUMBERS[FITTED] ** slope
        axis.plot(NUMBERS[FITTED], line, color=color, label=f"{label}: $N^{{{slope:.2f}}}$ from 8 on")
    axis.set(xscale="log", yscale="log", xlabel="rollouts in a group, N", ylabel="variance of $R_i$")
    axis.set_xticks(NUMBERS, [str(num) for num in NUMBERS])
    axis.minorticks_off()
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, loc="lower left")
    figure.savefig(PICTURE, dpi=120, metadata={"Software": None})


if __name__ == "__main__":
    draw()
