"""A scene as the model sees it: tokens of the map and of the agents."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Bool = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class MapTokens:
    """M pieces of polylines, 5 m long or less."""

    points: Float  # (M, 3, 2) m: first, middle and last point; the first is the token's position
    yaw: Float  # (M,) rad, direction of its first half metre
    token: NDArray[np.int64]  # (M,) the nearest of `Vocabulary.map_pieces`
    type: NDArray[np.int64]  # (M,) 0..9: what the polyline is
    polygon: NDArray[np.int64]  # (M,) 0 lane, 1 road edge, 2 road line, 3 crosswalk, speed bump or driveway
    light: NDArray[np.int64]  # (M,) 0 none, 1 unknown, 2 stop, 3 go, 4 caution, at the current step

    def __len__(self) -> int:
        return len(self.token)


@dataclass(frozen=True, kw_only=True, eq=False)
class AgentTokens:
    """A agents that are there "now", over Q slots of half a second.

    Slot q ends 5 (q + 1) steps after the window's beginning, which is 1 s before "now". `xy` and `yaw` are where the
    tokens lead, the `raw` ones where the log is at the same time. Where a mask is False, values are 0.
    """

    track: NDArray[np.int32]  # (A,) index into the tracks of the scene
    type: NDArray[np.int64]  # (A,) 0 vehicle, 1 pedestrian, 2 cyclist
    size: Float  # (A, 3) m: length, width, height
    role: Bool  # (A, 3) SDC, of interest, to predict
    z: Float  # (A,) m, box centre "now"
    token: NDArray[np.int64]  # (A, Q) of the class's vocabulary
    xy: Float  # (A, Q, 2) m
    yaw: Float  # (A, Q) rad
    valid: Bool  # (A, Q)
    raw_xy: Float  # (A, Q, 2) m
    raw_yaw: Float  # (A, Q) rad
    raw_valid: Bool  # (A, Q)
    path: Float  # (A, 5 Q + 1, 3) x, y [m] and yaw [rad] of the log at every step of the window, gaps filled
    path_valid: Bool  # (A, 5 Q + 1)
    learns: Bool  # (A,) carries loss in training
    target: NDArray[np.int64] | None = None
    """(A, Q) what to learn: the token that leads nearest to the log from where the slot before led, worked out in the
    agent's frame (METHODS.md A.5), or, under SMART's noise, `token` itself. None where it has not been worked out."""

    def __len__(self) -> int:
        return len(self.type)


@dataclass(frozen=True, kw_only=True, eq=False)
class SceneTokens:
    """One scene; positions are in the scene frame, or in the source's coordinates where the quirk wants them."""

    scene_id: str
    map: MapTokens
    agents: AgentTokens

    def with_map_near(self, reach: float) -> SceneTokens:
        """Without the map tokens that lie further than `reach` m from everywhere that an agent's token leads.

        What is left out cannot be seen where `reach` is the radius at which agents see the map and, for each layer of
        the map encoder, that at which map tokens see each other.
        """
        places = self.agents.xy[self.agents.valid]
        near = np.zeros(len(self.map), bool)
        for first in range(0, len(places), 64):  # in parts, so that hundreds of agents take no gigabytes
            away = self.map.points[:, None, 0] - places[first : first + 64]
            near |= ((away**2).sum(-1) < reach**2).any(1)
        if not near.any():
            near[:1] = True
        return replace(self, map=MapTokens(**{f.name: getattr(self.map, f.name)[near] for f in fields(MapTokens)}))
