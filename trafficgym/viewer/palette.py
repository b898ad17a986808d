"""Every colour of the viewer, as data. The agent colours are told apart under the common colour-vision deficiencies.

They follow Okabe and Ito (2008), "Color universal design", brightened for a dark ground; an infraction is in addition
marked by a letter, a signal by the shape of its lamp, a type of agent by its outline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from trafficgym.scene.scene import SignalState
from trafficgym.world.events import Event
from trafficgym.world.state import Driver

Color = tuple[int, int, int]  # red, green, blue, 0..255

RED_STATES = frozenset({SignalState.STOP, SignalState.ARROW_STOP, SignalState.FLASHING_STOP})
AMBER_STATES = frozenset({SignalState.CAUTION, SignalState.ARROW_CAUTION, SignalState.FLASHING_CAUTION})
GREEN_STATES = frozenset({SignalState.GO, SignalState.ARROW_GO})

DRIVER_LABELS: Mapping[Driver, str] = {
    Driver.EXTERNAL: "learner",
    Driver.LOG: "log replay",
    Driver.CONSTANT_VELOCITY: "constant velocity",
    Driver.IDM: "IDM",
    Driver.POLICY: "policy",
    Driver.HERO: "hero",
}
EVENT_BADGES: Mapping[Event, tuple[str, str]] = {
    Event.COLLISION: ("C", "collision"),
    Event.OFF_ROAD: ("O", "off-road"),
    Event.WRONG_WAY: ("W", "wrong way"),
    Event.RED_LIGHT: ("R", "red light"),
}
"""The infractions that are drawn, the gravest first: letter on the badge, words in the legend."""


@dataclass(frozen=True, kw_only=True)
class Palette:
    """Colours of one theme; the defaults are the dark one."""

    ground: Color = (17, 20, 25)
    surface: Color = (42, 47, 55)
    bike_surface: Color = (38, 58, 56)
    driveway: Color = (33, 37, 44)
    bridge_shade: Color = (8, 10, 13)
    crosswalk: Color = (138, 146, 157)
    speed_bump: Color = (176, 143, 62)
    lane_center: Color = (84, 92, 104)
    line_white: Color = (206, 212, 219)
    line_yellow: Color = (226, 178, 60)
    edge: Color = (118, 128, 141)
    median: Color = (150, 134, 104)
    stop_sign: Color = (214, 60, 52)
    stop_sign_rim: Color = (240, 242, 245)
    signal_red: Color = (255, 69, 58)
    signal_amber: Color = (255, 190, 40)
    signal_green: Color = (45, 211, 146)
    signal_unknown: Color = (140, 147, 158)
    signal_housing: Color = (10, 12, 15)
    agent_outline: Color = (13, 15, 19)
    glass: Color = (22, 27, 35)
    focus: Color = (255, 255, 255)
    ghost: Color = (235, 239, 245)
    shadow: Color = (0, 0, 0)
    text: Color = (226, 231, 238)
    text_dim: Color = (150, 158, 170)
    panel: Color = (12, 14, 18)
    accent: Color = (86, 180, 233)
    goal: Color = (120, 235, 255)
    drivers: Mapping[Driver, Color] = field(
        default_factory=lambda: {
            Driver.EXTERNAL: (255, 176, 32),
            Driver.LOG: (163, 174, 189),
            Driver.CONSTANT_VELOCITY: (86, 180, 233),
            Driver.IDM: (32, 190, 146),
            Driver.POLICY: (222, 132, 186),
            Driver.HERO: (240, 84, 84),
            Driver.NONE: (104, 111, 122),
        }
    )
    events: Mapping[Event, Color] = field(
        default_factory=lambda: {
            Event.COLLISION: (255, 59, 48),
            Event.OFF_ROAD: (255, 132, 0),
            Event.WRONG_WAY: (236, 72, 255),
            Event.RED_LIGHT: (255, 226, 60),
        }
    )

    def signal(self, state: int) -> Color:
        """Colour of a `SignalState`."""
        if state in RED_STATES:
            return self.signal_red
        if state in AMBER_STATES:
            return self.signal_amber
        return self.signal_green if state in GREEN_STATES else self.signal_unknown


DARK = Palette()
LIGHT = Palette(
    ground=(236, 238, 234),
    surface=(205, 208, 212),
    bike_surface=(190, 212, 205),
    driveway=(222, 224, 224),
    bridge_shade=(150, 153, 158),
    crosswalk=(248, 249, 250),
    speed_bump=(212, 164, 58),
    lane_center=(178, 183, 190),
    line_white=(255, 255, 255),
    line_yellow=(226, 160, 20),
    edge=(112, 119, 128),
    median=(139, 124, 96),
    signal_red=(222, 40, 34),
    signal_amber=(240, 165, 0),
    signal_green=(0, 158, 104),
    signal_housing=(48, 53, 60),
    agent_outline=(44, 49, 56),
    glass=(38, 45, 54),
    focus=(20, 24, 30),
    ghost=(60, 66, 75),
    text=(30, 35, 42),
    text_dim=(96, 104, 115),
    panel=(252, 252, 252),
    accent=(0, 114, 178),
    goal=(0, 96, 200),
    drivers={
        Driver.EXTERNAL: (240, 150, 0),
        Driver.LOG: (126, 138, 153),
        Driver.CONSTANT_VELOCITY: (48, 144, 205),
        Driver.IDM: (0, 158, 115),
        Driver.POLICY: (204, 103, 160),
        Driver.HERO: (213, 48, 48),
        Driver.NONE: (170, 174, 180),
    },
    events={
        Event.COLLISION: (222, 24, 18),
        Event.OFF_ROAD: (220, 98, 0),
        Event.WRONG_WAY: (180, 20, 200),
        Event.RED_LIGHT: (170, 130, 0),
    },
)
