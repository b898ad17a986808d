"""A vocabulary by a grid over where motions end, completed where neighbours are (TrajTok; METHODS.md A.3).

Every cell that is seen often enough is one token. A cell whose neighbours are mostly unseen is taken for noise and
dropped, one whose neighbours are seen is added though nobody went there, and left and right are treated alike: so a
vocabulary from few scenes also serves others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import ConfigError, check_whole, names_nearest
from trafficgym_agents.policies.smart.snippets import POSES, mirrored

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]
Int = NDArray[np.int64]

_TIME = np.linspace(0, 1, POSES)
_COARSER = 2**0.125  # factor from one cell size that is tried to the next


@names_nearest
@dataclass(frozen=True, kw_only=True)
class Grid:
    """Cells over the position at the end of half a second; one is centred on standing still.

    Raises:
        ConfigError: a value makes no sense.
    """

    x: tuple[float, float]
    """m ahead: from, to."""
    y: tuple[float, float]
    """m to the left."""
    cell: tuple[float, float]
    """m, length and width of a cell."""
    least: int = 1
    """Snippets that make a cell a token."""

    def __post_init__(self) -> None:
        check_whole(self, least=1)
        for name in ("x", "y"):
            low, high = getattr(self, name)
            if not low <= 0 <= high or low == high:
                raise ConfigError(f"{name} of a grid is {(low, high)}; it is a range in metres that holds 0")
        if not min(self.cell) > 0:
            raise ConfigError(f"cell of a grid is {self.cell}; both are lengths in metres, larger than 0")


@names_nearest
@dataclass(frozen=True, kw_only=True)
class TrajTokConfig:
    """Grids and neighbourhoods; the defaults are those of the paper's code, and give thousands of tokens.

    Raises:
        ConfigError: a value makes no sense.
    """

    vehicle: Grid = Grid(x=(-5, 20), y=(-2, 3), cell=(0.1, 0.0625), least=3)
    pedestrian: Grid = Grid(x=(-1.5, 4.5), y=(-2, 2), cell=(0.05, 0.05))
    cyclist: Grid = Grid(x=(-1, 8), y=(-1, 1), cell=(0.05, 0.05))
    window: int = 9
    """Cells along each side of a neighbourhood; odd."""
    drop_below: int = 20
    """A seen cell with fewer seen ones in its window, itself among them, is dropped."""
    add_above: int = 20
    """An unseen cell with more seen ones in its window is added."""
    mirrored: bool = True
    """Take every snippet also with left and right exchanged."""
    largest_turn: float = np.pi / 18
    """rad per step; a cell whose mean snippet turns faster gets a smooth curve instead."""
    max_tokens: int | None = None
    """Make cells larger, by the same factor in both directions, until a class has no more tokens than this."""

    def __post_init__(self) -> None:
        check_whole(self, window=1, drop_below=0, add_above=0, max_tokens=2)
        if not self.window % 2:
            raise ConfigError(f"window is {self.window}; it must be odd, so that it has a middle")
        if not self.largest_turn > 0:
            raise ConfigError(f"largest_turn is {self.largest_turn!r}; it is an angle in rad, larger than 0")


SMALL_TRAJTOK = TrajTokConfig(max_tokens=256, window=3, drop_below=1, add_above=5)
"""About 256 tokens of a class that moves in many ways, for small models and few scenes. Its cells are too large for
neighbourhoods of nine, and nothing is dropped: where traffic keeps to its lanes, motions are lines, not areas."""


def trajtok_motions(snippets: Float, grid: Grid, config: TrajTokConfig) -> Float:
    """Templates of motion, the first of which stands still.

    Args:
        snippets: ``[N, 6, 3]`` m and rad; how many there are of a kind matters.
        grid: That of the class.
        config: Neighbourhoods, and how many tokens there may be.

    Returns:
        Poses ``[V, 6, 3]``, by cell, from the back to the front and from right to left. Each but the first ends in the
        centre of its cell.
    """
    if config.mirrored:
        snippets = np.concatenate([snippets, mirrored(snippets)])
    while True:
        low, shape, place, is_inside = _places(snippets[:, -1, :2], grid)
        counts = np.bincount(place @ [shape[1], 1], minlength=shape.prod()).reshape(shape)
        is_chosen = _smoothed(counts >= grid.least, config)
        is_chosen[-low[0], -low[1]] = False  # standing still is a token in any case
        if config.max_tokens is None or is_chosen.sum() < config.max_tokens:
            break
        grid = replace(grid, cell=(grid.cell[0] * _COARSER, grid.cell[1] * _COARSER))
    still = np.zeros((1, POSES, 3))
    chosen = np.argwhere(is_chosen)
    if not len(chosen):
        return still
    cells, means = _means(place, snippets[is_inside], grid.least)
    is_seen = (counts >= grid.least)[chosen[:, 0], chosen[:, 1]]
    nearest = means[_nearest(chosen, cells, grid.cell)]
    ends: Float = (chosen + low) * np.array(grid.cell)
    return np.concatenate([still, _templates(ends, nearest, is_seen, config.largest_turn)])


def _places(ends: Float, grid: Grid) -> tuple[Int, Int, Int, Bool]:
    """Cells in which ends ``[N, 2]`` m lie.

    Returns:
        Number of the first cell along x and y, counted from the one around 0; how many there are; row and column
        ``[n, 2]`` of those that are on the grid, and which are, ``[N]``.
    """
    size = np.array(grid.cell)
    low = np.ceil(np.array([grid.x[0], grid.y[0]]) / size - 1e-9).astype(np.int64)
    high = np.floor(np.array([grid.x[1], grid.y[1]]) / size + 1e-9).astype(np.int64)
    place = np.round(ends / size).astype(np.int64)
    is_inside = ((place >= low) & (place <= high)).all(1)
    return low, high - low + 1, place[is_inside] - low, is_inside


def _smoothed(is_seen: Bool, config: TrajTokConfig) -> Bool:
    """Cells ``[X, Y]`` that become tokens."""
    padded = np.pad(is_seen, config.window // 2).astype(np.int64)
    sums = np.pad(padded.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    w = config.window
    seen = sums[w:, w:] - sums[:-w, w:] - sums[w:, :-w] + sums[:-w, :-w]
    return np.where(is_seen, seen >= config.drop_below, seen > config.add_above)


def _means(place: Int, snippets: Float, least: int) -> tuple[Int, Float]:
    """Cells ``[U, 2]`` in which at least so many snippets end, and the mean snippet of each ``[U, 6, 3]``."""
    order = np.lexsort((place[:, 1], place[:, 0]))
    cells, first, counts = np.unique(place[order], axis=0, return_index=True, return_counts=True)
    sums = np.add.reduceat(snippets[order], first, axis=0)
    is_seen = counts >= least
    return cells[is_seen], sums[is_seen] / counts[is_seen, None, None]


def _nearest(wanted: Int, cells: Int, size: tuple[float, float]) -> NDArray[np.intp]:
    """The one of `cells` ``[U, 2]`` that is nearest to each wanted one ``[V, 2]``; itself where it is among them."""
    targets = cells * np.array(size)
    # Some at a time: all thousands of cells times all others would take gigabytes.
    parts = [wanted[i : i + 256] * np.array(size) for i in range(0, len(wanted), 256)]
    return np.concatenate([((part[:, None] - targets) ** 2).sum(-1).argmin(1) for part in parts])


def _templates(ends: Float, snippets: Float, is_seen: Bool, largest_turn: float) -> Float:
    """Poses ``[V, 6, 3]`` that lead to `ends`, from the snippet that belongs to each, or lies next to it."""
    moved = snippets.copy()
    moved[..., :2] += _TIME[:, None] * (ends - snippets[:, -1, :2])[:, None]  # little by little
    is_smooth = (np.abs(np.diff(snippets[..., 2], axis=1)) <= largest_turn).all(1)
    return np.where((is_seen & is_smooth)[:, None, None], moved, hermite(ends, snippets[:, -1, 2]))


def hermite(ends: Float, yaw: Float) -> Float:
    """Cubic Hermite curves from the origin, heading along x, to `ends` ``[V, 2]`` m at `yaw` ``[V]`` rad.

    The tangents are as long as the way is; backwards where the end lies behind. The yaw turns evenly.

    Returns:
        Poses ``[V, 6, 3]``.
    """
    t = _TIME[:, None]
    length = np.linalg.norm(ends, axis=1)[:, None] * np.where(ends[:, :1] < 0, -1, 1)
    first = np.concatenate([length, np.zeros_like(length)], 1)[:, None]
    last = (length * np.stack([np.cos(yaw), np.sin(yaw)], 1))[:, None]
    xy = (t**3 - 2 * t**2 + t) * first + (3 * t**2 - 2 * t**3) * ends[:, None] + (t**3 - t**2) * last
    return np.concatenate([xy, (t * yaw[:, None, None])], -1)
