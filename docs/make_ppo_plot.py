"""Draw docs/images/ppo_cut_in.png from the curves that `trafficgym_baselines.ppo_cut_in` wrote.

python docs/make_ppo_plot.py runs/cut_in_0/curve.csv runs/cut_in_1/curve.csv
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

OUT = Path(__file__).parent / "images" / "ppo_cut_in.png"


def main() -> None:
    figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
    for number, name in enumerate(sys.argv[1:]):
        minutes, steps, share = np.loadtxt(name, delimiter=",", skiprows=1, unpack=True)
        axes.plot(
            minutes, 100 * share, marker="o", markersize=3, label=f"seed {number}, {steps[-1] / 1000:.0f} k steps"
        )
    axes.axhline(100, color="0.6", linestyle=":", label="constant velocity")
    axes.axhline(5, color="0.3", linestyle="--", linewidth=0.8)
    axes.set_yscale("symlog", linthresh=5)
    axes.set_yticks([0, 1, 2, 5, 10, 20, 50, 100], [f"{v} %" for v in (0, 1, 2, 5, 10, 20, 50, 100)])
    axes.set_ylim(-0.3, 130)
    axes.set_xlabel("minutes of training, evaluations included")
    axes.set_ylabel("infractions, held out")
    axes.legend(frameon=False, fontsize=8, loc="upper right", bbox_to_anchor=(1.0, 0.9))
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(OUT, dpi=110)
    print(f"wrote {OUT}")


if __name__ == "__main__":
    main()
