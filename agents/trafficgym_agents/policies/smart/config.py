"""The sizes of the model, and the presets that people speak of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trafficgym.errors import ConfigError, check_whole, names_nearest, nearest_key

HISTORY_STEPS = 10
"""Steps of 0.1 s before "now" that become tokens."""
FUTURE_STEPS = 80
STEPS_PER_TOKEN = 5
TOKEN_S = 0.1 * STEPS_PER_TOKEN
HISTORY_TOKENS = HISTORY_STEPS // STEPS_PER_TOKEN
FUTURE_TOKENS = FUTURE_STEPS // STEPS_PER_TOKEN
NUM_TOKENS = HISTORY_TOKENS + FUTURE_TOKENS
"""Q: token slot q spans the steps 5 q to 5 (q + 1), counted from 1 s before "now"."""
GOALS = ("concatenation", "indication")


@names_nearest
@dataclass(frozen=True, kw_only=True)
class SmartConfig:
    """Sizes of a `SmartNetwork` (METHODS.md A.4); make a variant with `dataclasses.replace`.

    Raises:
        ConfigError: a value makes no sense.
    """

    hidden: int = 32
    """Width h of every feature."""
    heads: int = 4
    head_size: int = 8
    map_layers: int = 1
    agent_layers: int = 2
    """Each is temporal, then map to agent, then agent to agent attention."""
    map_radius: float = 10.0
    """m, between map tokens."""
    map_to_agent_radius: float = 20.0
    """m."""
    agent_radius: float = 20.0
    """m, between agents."""
    time_span: int = 20
    """Steps of 0.1 s that temporal attention looks back; a multiple of 5."""
    frequencies: int = 64
    """Learned frequencies per scalar of a Fourier embedding."""
    dropout: float = 0.0
    """0.1 in the paper; a network as small as micro cannot learn its scenes by heart."""
    history_dropout: float = 0.1
    """Share of (agent, slot) nodes that temporal attention leaves out while training."""
    head_per_class: bool = False
    """An own output layer for vehicles, pedestrians and cyclists (TrajTok); else one for all (SMART)."""
    momentum: bool = False
    """Logits begin with how near a token is to repeating the last one, ``-d / l``: d is the mean distance of corners
    between the ends of the two templates, l a length that is learned for each class. A small network on little data
    then learns where to deviate from going on as before, and not what going on is. Ours; no paper has it."""
    steering: bool = False
    """To the logits is added that of a Gaussian of where tokens end, as seen from the end of the last one, whose six
    numbers features give: to go faster, or further left, and how surely. A small network then learns for all tokens at
    once what it would have to learn for each. Ours; no paper has it."""
    zero_fill_quirk: bool = False
    """Reproduce the reference: slots that are not valid lie at (0, 0), so that the first motion of an agent that
    appears is its absolute position. Real CAT-K checkpoints were trained so; it needs the source's coordinates."""
    goal: Literal["concatenation", "indication"] | None = None
    """How agents are told where to go, those that are (RLFTSim, METHODS.md D.3): by numbers among their inputs, or by a
    mark on the piece of the map that is nearest to the goal. None: not at all."""

    def __post_init__(self) -> None:
        check_whole(self, hidden=1, heads=1, head_size=1, map_layers=0, agent_layers=1, frequencies=1)
        for name in ("map_radius", "map_to_agent_radius", "agent_radius"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)!r}; it is a distance in metres, larger than 0")
        if self.time_span < STEPS_PER_TOKEN or self.time_span % STEPS_PER_TOKEN:
            raise ConfigError(f"time_span is {self.time_span!r}; it is a multiple of {STEPS_PER_TOKEN} steps")
        if self.goal not in (None, *GOALS):
            raise ConfigError(f"goal is {self.goal!r}; it is {', '.join(map(repr, GOALS))}, or None")
        for name in ("dropout", "history_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)!r}; it is a probability, smaller than 1")

    @property
    def span_tokens(self) -> int:
        """Tokens that temporal attention looks back."""
        return self.time_span // STEPS_PER_TOKEN


PRESETS = {
    "tiny": SmartConfig(
        hidden=128,
        heads=8,
        head_size=16,
        map_layers=3,
        agent_layers=6,
        map_to_agent_radius=30.0,
        agent_radius=60.0,
        time_span=30,
        dropout=0.1,
    ),
    "mini": SmartConfig(
        hidden=128,
        map_layers=2,
        agent_layers=4,
        map_to_agent_radius=30.0,
        agent_radius=60.0,
        time_span=30,
        dropout=0.1,
    ),
    "nano": SmartConfig(hidden=64, map_layers=2, agent_layers=4, dropout=0.1),
    "micro": SmartConfig(
        map_to_agent_radius=30.0, agent_radius=50.0, head_per_class=True, momentum=True, steering=True
    ),
}
"""tiny is the paper's; mini and nano are CAT-K's; micro is ours, for a CPU."""


def preset(name: str) -> SmartConfig:
    """The sizes of a preset.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in PRESETS:
        raise ConfigError(f"no preset is called {name!r}; {nearest_key(name, PRESETS)}")
    return PRESETS[name]
