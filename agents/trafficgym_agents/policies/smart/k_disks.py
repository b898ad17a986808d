"""A vocabulary by covering what was seen with disks (Trajeglish, in CAT-K's variant; METHODS.md A.3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import ConfigError, check_whole, names_nearest
from trafficgym_agents.policies.smart.snippets import POSES, contours, mirrored

Float = NDArray[np.float64]

_TOLERANCES = (0.005, 20.0)  # m, between which the smallest is sought
_HALVINGS = 9  # of their ratio: to about 2 %
_TRIED = 50_000  # rows that are covered on trial


@names_nearest
@dataclass(frozen=True, kw_only=True)
class KDisksConfig:
    """Sizes of the vocabularies and of the disks.

    Raises:
        ConfigError: a value makes no sense.
    """

    max_tokens: int = 2048
    """Per class; fewer where the disks cover all snippets before."""
    tolerance: float | None = 0.05
    """m, mean distance of the four corners at the end. None takes the smallest with which `max_tokens` disks cover
    the snippets (a sample of 50,000 where there are more): for small vocabularies, which would otherwise leave most of
    them out."""
    mirrored: bool = False
    """Take every snippet also with left and right exchanged."""

    def __post_init__(self) -> None:
        check_whole(self, max_tokens=1)
        if self.tolerance is not None and not self.tolerance > 0:
            raise ConfigError(f"tolerance is {self.tolerance!r}; it is a distance in metres, larger than 0, or None")


def k_disks_motions(
    snippets: Float, size: NDArray[np.floating], config: KDisksConfig, *, rng: np.random.Generator
) -> Float:
    """Templates of motion, the first of which stands still.

    Args:
        snippets: ``[N, 6, 3]`` m and rad, distinct.
        size: Length and width of the class's nominal box, m.
        config: Sizes of vocabulary and disks.
        rng: Draws the centres of the disks.

    Returns:
        Poses ``[V, 6, 3]``; each but the first is the mean of the snippets in one disk.
    """
    if config.mirrored:
        snippets = np.concatenate([snippets, mirrored(snippets)])
    snippets = np.concatenate([np.zeros((1, POSES, 3)), snippets])
    disks = cover(contours(snippets[:, -1], size), config.max_tokens, config.tolerance, rng=rng)
    motions = np.stack([snippets[disk].mean(0) for disk in disks])
    motions[0] = 0
    return motions


def cover(points: Float, most: int, tolerance: float | None, *, rng: np.random.Generator) -> list[NDArray[np.intp]]:
    """Disks that are drawn one by one out of what no earlier disk holds; the first is centred on row 0.

    Args:
        points: ``[N, C, 2]`` m; rows lie as far apart as their C points do in the mean.
        most: Disks are drawn until all rows are covered, but no more than this.
        tolerance: Radius of the disks, m; None takes the smallest with which `most` disks cover all, or a sample.
        rng: Draws the centres.

    Returns:
        The rows in each disk.
    """
    rows = points.astype(np.float32)
    order = np.concatenate([[0], 1 + rng.permutation(len(rows) - 1)])
    if tolerance is None:
        tolerance = _smallest_tolerance(rows, order[:_TRIED], most)
    return _draw(rows, order, most, tolerance)[0]


def _smallest_tolerance(points: NDArray[np.float32], order: NDArray[np.intp], most: int) -> float:
    low, high = _TOLERANCES
    for _ in range(_HALVINGS):
        middle = float(np.sqrt(low * high))
        if _draw(points, order, most, middle)[1]:
            high = middle
        else:
            low = middle
    return high


def _draw(
    points: NDArray[np.float32], order: NDArray[np.intp], most: int, tolerance: float
) -> tuple[list[NDArray[np.intp]], bool]:
    """The disks, and whether they cover all. The next centre is the first in `order` that remains."""
    remaining, disks = order, list[NDArray[np.intp]]()
    left = points[order]
    while len(remaining) and len(disks) < most:
        offset = left - left[0]
        is_inside = np.sqrt(offset[..., 0] ** 2 + offset[..., 1] ** 2).mean(-1) <= tolerance
        disks.append(np.sort(remaining[is_inside]))
        remaining, left = remaining[~is_inside], left[~is_inside]
    return disks, not len(remaining)
