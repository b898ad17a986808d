"""How far from the log a vocabulary must stay."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import SceneError
from trafficgym.scene.scene import Scene
from trafficgym_agents.policies.smart.map_tokens import SKELETON
from trafficgym_agents.policies.smart.snippets import contours
from trafficgym_agents.policies.smart.tokenizer import Tokenizer
from trafficgym_agents.policies.smart.tokens import AgentTokens, MapTokens
from trafficgym_agents.policies.smart.vocabulary import CLASSES, NOMINAL_SIZE, Vocabulary

Float = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Quantisation:
    """Distances [m] between what was driven, or is on the map, and the tokens for it."""

    motions: tuple[Float, Float, Float]
    """Of each of `CLASSES`, per token: mean distance of the four corners of the nominal box at its end. Tokens are
    matched one after another, each from where the one before led, as in training."""
    map_pieces: Float
    """Per map token: mean distance of the three points by which it is matched."""


def quantisation(vocabulary: Vocabulary, scenes: Iterable[Scene]) -> Quantisation:
    """Tokenise scenes and measure what is lost; scenes that have nobody to tokenise are passed over."""
    tokenizer = Tokenizer(vocabulary)
    motions: list[list[Float]] = [[np.zeros(0)] for _ in CLASSES]
    pieces: list[Float] = [np.zeros(0)]
    for scene in scenes:
        try:
            tokens = tokenizer(scene)
        except SceneError:
            continue
        for found, errors in zip(motions, _motion_errors(tokens.agents), strict=True):
            found.append(errors)
        pieces.append(_piece_errors(tokens.map, vocabulary))
    vehicle, pedestrian, cyclist = map(np.concatenate, motions)
    return Quantisation(motions=(vehicle, pedestrian, cyclist), map_pieces=np.concatenate(pieces))


def _motion_errors(agents: AgentTokens) -> list[Float]:
    errors = []
    for code in range(len(CLASSES)):
        kept = (agents.type == code)[:, None] & agents.valid & agents.raw_valid
        boxes = [
            contours(np.concatenate([xy[kept], yaw[kept][:, None]], -1).astype(float), NOMINAL_SIZE[code])
            for xy, yaw in ((agents.xy, agents.yaw), (agents.raw_xy, agents.raw_yaw))
        ]
        errors.append(np.linalg.norm(boxes[0] - boxes[1], axis=-1).mean(-1))
    return errors


def _piece_errors(tokens: MapTokens, vocabulary: Vocabulary) -> Float:
    offset = (tokens.points - tokens.points[:, :1]).astype(float)
    cos, sin = np.cos(tokens.yaw)[:, None], np.sin(tokens.yaw)[:, None]
    x, y = cos * offset[..., 0] + sin * offset[..., 1], cos * offset[..., 1] - sin * offset[..., 0]
    template = vocabulary.map_pieces[tokens.token][:, SKELETON]
    return np.hypot(x - template[..., 0], y - template[..., 1]).mean(-1)
