"""Write the gallery of scenario families: `python docs/make_gallery.py [FAMILY ...]`.

It draws three moments of each family (all of them, unless some are named) under docs/images/families, and writes
docs/gallery.md. What is drawn is what an ego that drives straight on at constant speed gets into.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pygame
from numpy.typing import NDArray
from PIL import Image

from trafficgym.scene.scene import AgentType, Scene
from trafficgym.viewer import LIGHT, Camera, Frame, Painter, Style
from trafficgym.viewer.live import LiveRun
from trafficgym.viewer.text import render
from trafficgym.world.events import Event
from trafficgym.world.state import Driver
from trafficgym_scenarios.families import FAMILIES
from trafficgym_scenarios.scenario import LogicalScenario

DOCS = Path(__file__).parent
IMAGES = DOCS / "images" / "families"
PANEL = (276, 168)  # px
GAP = 6  # px
MARGIN = 9.0  # m, around ego and heroes
SCALES = (2.4, 9.0)  # px/m
AFTER = 6  # steps after a trigger, so that one sees what the hero does
CRITICALITY = 0.6
SEEDS = 12
COLORS = 160
_SPACE = np.full((PANEL[1], GAP, 3), 255, np.uint8)

INTRODUCTION = """# Gallery of scenarios

Each family is a story with a hero, and parameters with ranges. `sample(seed)` draws a concrete scenario from it;
`at(criticality=0.6)` goes that share of every range from its easy end to its hard one, "harder" naming the latter. The
pictures show three moments of one scenario: the start, half a second after the hero's trigger, and how it ends for an
ego (blue) that does nothing about it. Heroes are red, all others grey; C marks a collision, O who leaves the road, W
who drives against the traffic.

```bash
trafficgym view --family cut-in --seed 3                         # play one; the arrow keys take over the ego
trafficgym record --family cut-in --seed 3 cut_in.png --step 40  # or draw it; .gif and .mp4 are films
```

```python
import gymnasium
import trafficgym

env = gymnasium.make("trafficgym/CutIn-v0")
```

This page is written by `python docs/make_gallery.py`.
"""


@dataclass(frozen=True, kw_only=True)
class Story:
    """A run of a scenario, and the moments of it that are drawn."""

    run: LiveRun
    heroes: NDArray[np.intp]  # slots
    steps: tuple[int, int, int]  # start, trigger, end
    ends_in: Event  # what the hero has brought about


def tell(scene: Scene, ego: str) -> Story:
    """Play a scenario with an ego that does nothing: ``"constant_velocity"``, or ``"log"``, along its lane."""
    run = LiveRun(scene, ego)
    frames = [run.frame(step) for step in range(run.num_steps)]
    heroes = np.flatnonzero(frames[0].controller == Driver.HERO)
    state = np.array([frame.state[run.ego] for frame in frames])
    ends_in, end = Event(0), int(np.argmin([min(_distances(frame, run.ego, heroes)) for frame in frames]))
    troubled = np.flatnonzero(state & (Event.COLLISION | Event.OFF_ROAD))
    if len(troubled):
        end = int(troubled[0])
        ends_in = Event.COLLISION if state[end] & Event.COLLISION else Event.OFF_ROAD
    triggers = [_leaves_first_phase(frames[: end + 1], hero) for hero in heroes]
    acts = [step for step in triggers if step is not None]
    if not acts and any(len(script.phases) > 1 for script in scene.scripts.values()):
        ends_in = Event(0)
    middle = min(max(acts) + AFTER, end) if acts else end // 2
    while middle < end and max(_distances(frames[middle], run.ego, heroes)) > PANEL[0] / SCALES[0] - 2 * MARGIN:
        middle += 1
    return Story(run=run, heroes=heroes, steps=(0, middle, end), ends_in=ends_in)


def _leaves_first_phase(frames: list[Frame], hero: int) -> int | None:
    """The step at which a hero's first trigger fires."""
    first = _phase(frames[0], hero)
    return next((step for step, frame in enumerate(frames) if _phase(frame, hero) != first), None)


def _distances(frame: Frame, ego: int, heroes: NDArray[np.intp]) -> list[float]:
    return [float(np.hypot(frame.x[h] - frame.x[ego], frame.y[h] - frame.y[ego])) for h in heroes]


def _phase(frame: Frame, hero: int) -> str:
    """The name of a hero's phase, as the run writes it."""
    start = f"hero {frame.id[hero]}: "
    return next(line.removeprefix(start) for line in frame.text if line.startswith(start))


def story_of(family: LogicalScenario) -> Story:
    """The first of some seeds in which the hero brings about a collision, else one in which the ego leaves the road.

    Where the ego leaves the road before the hero acts, as in a ring, it goes along its lane.
    """
    for ego, wanted in (
        ("constant_velocity", Event.COLLISION),
        ("constant_velocity", Event.OFF_ROAD),
        ("log", Event.COLLISION),
    ):
        for seed in range(SEEDS):
            story = tell(family.at(CRITICALITY, seed).scene, ego)
            if story.ends_in == wanted:
                return story
    raise SystemExit(f"{family.name}: with no seed below {SEEDS} does anything happen")


def draw(story: Story) -> NDArray[np.uint8]:
    """The moments side by side, uint8 ``[H, W, 3]``."""
    run = story.run
    panels: list[NDArray[np.uint8]] = []
    for step, camera in zip(story.steps, _cameras(story), strict=True):
        frame = run.frame(step)
        num = len(frame.x)
        is_hero = np.isin(np.arange(num), story.heroes)
        driver = np.where(is_hero, Driver.HERO, Driver.LOG).astype(np.int8)
        driver[run.ego] = Driver.CONSTANT_VELOCITY
        # Of others only what belongs to the story: who waits beside the road, or walks across it, breaks no rule.
        told = np.where(frame.type == AgentType.VEHICLE, Event.COLLISION | Event.WRONG_WAY, Event.COLLISION)
        state = np.where(np.arange(num) == run.ego, frame.state, frame.state & told.astype(np.uint8))
        panels += [_panel(run.scene, replace(frame, controller=driver, state=state), camera, story, step), _SPACE]
    return np.concatenate(panels[:-1], axis=1)


def _panel(scene: Scene, frame: Frame, camera: Camera, story: Story, step: int) -> NDArray[np.uint8]:
    painter = Painter(PANEL, Style(palette=LIGHT, hud=False, legend=False))
    surface = painter.draw(scene, frame, camera)
    names = dict.fromkeys(_phase(story.run.frame(step), hero) for hero in story.heroes)
    words = render(f"{0.1 * step:.1f} s   {', '.join(names)}", 17, LIGHT.text)
    pygame.draw.rect(surface, LIGHT.panel, (4, 4, words.get_width() + 8, words.get_height() + 5), border_radius=4)
    surface.blit(words, (8, 7))
    distances = _distances(frame, story.run.ego, story.heroes)
    far = [k for k, hero in enumerate(story.heroes) if not 0 < _at(camera, frame, hero)[0] < PANEL[0]]
    if far:
        nearest = min(far, key=distances.__getitem__)
        x, y = _at(camera, frame, story.heroes[nearest])
        _point_out(surface, 1 if x > 0 else -1, y, f"{distances[nearest]:.0f} m")
    return pygame.surfarray.array3d(surface).swapaxes(0, 1)


def _at(camera: Camera, frame: Frame, slot: int) -> tuple[float, float]:
    """Where a slot is in a panel, px."""
    x, y = camera.to_screen([frame.x[slot], frame.y[slot]], PANEL).tolist()
    return x, y


def _point_out(surface: pygame.Surface, side: int, y: float, words: str) -> None:
    """An arrow to who is beyond the left (side -1) or the right edge."""
    edge, color = (PANEL[0] - 4 if side > 0 else 4), LIGHT.drivers[Driver.HERO]
    pygame.draw.polygon(surface, color, [(edge, y), (edge - 9 * side, y - 5), (edge - 9 * side, y + 5)])
    text = render(words, 15, LIGHT.text, LIGHT.panel)
    surface.blit(text, (edge - 12 * side - (text.get_width() if side > 0 else 0), y - text.get_height() / 2))


def _cameras(story: Story) -> list[Camera]:
    """Views of ego and heroes, the ego's way to the right: one for all moments if they fit into it, else each its own.

    All have one scale. Where a hero is too far away, the ego is near the other edge.
    """
    run, size = story.run, np.array(PANEL)
    frames = [run.frame(step) for step in story.steps]
    rotation = float(frames[0].yaw[run.ego])
    cos, sin = np.cos(rotation), np.sin(rotation)
    turn = np.array([[cos, -sin], [sin, cos]])  # to x along the ego's way and y to its left
    shown = [run.ego, *story.heroes]
    points = np.array([np.column_stack([frame.x[shown], frame.y[shown]]) @ turn for frame in frames])  # (3, n, 2)
    boxes = np.stack([points.min(1), points.max(1)], 1)  # (3, low and high, 2)
    whole = np.array([boxes[:, 0].min(0), boxes[:, 1].max(0)])
    if _scale(whole, size) >= 1.5 * SCALES[0]:
        boxes = np.repeat(whole[None], len(frames), 0)
    scale = min(max(min(_scale(box, size) for box in boxes), SCALES[0]), SCALES[1])
    reach = size / scale / 2 - MARGIN
    middles = np.clip(boxes.mean(1), points[:, 0] - reach, points[:, 0] + reach) @ turn.T
    return [Camera((float(x), float(y)), scale, rotation) for x, y in middles]


def _scale(box: NDArray[np.floating], size: NDArray[np.int_]) -> float:
    """px/m with which a box and its margin fill a picture."""
    return float((size / (box[1] - box[0] + 2 * MARGIN)).min())


def write_picture(family: LogicalScenario) -> None:
    """Write a small PNG."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(draw(story_of(family)))
    picture.quantize(COLORS, dither=Image.Dither.NONE).save(IMAGES / f"{family.name}.png", optimize=True)


def page() -> str:
    """The text of the gallery."""
    parts = [INTRODUCTION]
    for title, held_out in (("To train on", False), ("Held out", True)):
        families = [family for family in FAMILIES.values() if family.held_out == held_out]
        parts += [f"## {title}\n", *(section(family) for family in families)]
    return "\n".join(parts)


def section(family: LogicalScenario) -> str:
    """What the page says of a family."""
    rows = [
        f"| `{name}` | {one.low:g} to {one.high:g} | {one.unit} | {one.harder} | {one.about} |"
        for name, one in family.parameters.items()
    ]
    return "\n".join(
        [
            f"### {family.name}\n",
            f"{family.story}\n",
            f"![{family.name}: start, trigger and end](images/families/{family.name}.png)\n",
            f"`{family.gym_id}` · road: {family.road} · {'held out' if family.held_out else 'to train on'}\n",
            "| parameter | range | unit | harder | |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    for name in sys.argv[1:] or FAMILIES:
        write_picture(FAMILIES[name])
    (DOCS / "gallery.md").write_text(page(), encoding="utf-8")
