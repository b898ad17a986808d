"""Families on S-shaped highways and where roads merge, to evaluate on; nothing is trained on them.

Road topology and behaviour differ from those of the families that are trained on.
"""

from __future__ import annotations

from numpy.random import Generator

from trafficgym.scene.scene import AgentType
from trafficgym.scene.script import Phase, Trigger
from trafficgym_scenarios.interchanges import exit_lane, merge, on_s_highway, s_highway
from trafficgym_scenarios.roads.path import Path
from trafficgym_scenarios.scenario import LogicalScenario, Parameters, Plot, Range
from trafficgym_scenarios.stage import CAR, DEBRIS, Actor, Stage, traffic

EGO_SPEED = Range(low=20.0, high=31.0, unit="m/s", about="speed of the ego", harder="high")
TRAFFIC = Range(low=0.0, high=8.0, unit="cars", about="other traffic")


def _plot(stage: Stage, p: Parameters, rng: Generator, *others: Actor, clear: list[tuple[float, float, float]]) -> Plot:
    """Everybody, with traffic that leaves some stretches free."""
    cars = traffic(stage, rng, round(p["traffic"]), p["ego_speed"], clear=clear)
    return Plot(
        stage=stage, ego=Actor(path=stage.path, s=stage.start, speed=p["ego_speed"]), others=others, traffic=cars
    )


def _own_lane(stage: Stage) -> tuple[float, float, float]:
    """The ego's lane from a little behind it on."""
    return 0.0, stage.start - 30.0, stage.path.length


def _lane_beside(stage: Stage, rng: Generator) -> float:
    """Offset of a lane beside the ego's, on the left or on the right."""
    beside = [offset for offset in (stage.left, stage.right) if offset is not None]
    return beside[int(rng.integers(len(beside)))]


def full_stop(p: Parameters, rng: Generator, stage: Stage) -> Plot:
    speed = p["ego_speed"]
    slow = speed * p["share"]
    s = stage.start + CAR[0] + p["headway"] * speed + (speed - slow) * p["wait"]
    phases = (
        Phase(name="leads", until=Trigger(kind="time_gap", value=p["headway"])),
        Phase(name="stops", speed=0.0, deceleration=p["deceleration"]),
    )
    lead = Actor(path=stage.path, s=s, speed=slow, phases=phases)
    return _plot(stage, p, rng, lead, clear=[_own_lane(stage)])


def rear_end_approach(p: Parameters, rng: Generator, stage: Stage) -> Plot:
    speed = p["ego_speed"]
    s = stage.start - CAR[0] - p["ttc"] * p["faster"]
    hero = Actor(path=stage.path, s=s, speed=speed + p["faster"], phases=(Phase(name="does not brake"),))
    free = _lane_beside(stage, rng)
    return _plot(stage, p, rng, hero, clear=[(d, 0.0, stage.path.length) for d in (0.0, free)])


def zipper_merge(p: Parameters, rng: Generator) -> Plot:
    speed, other_speed = p["ego_speed"], p["ego_speed"] + p["faster"]
    lead_s = p["commit"] + 1.5
    stage = merge(rng, speed=speed, lead_s=lead_s)
    branch = stage.ways["branch"]
    phases = (
        Phase(name="comes", arrival=-p["ahead"] / speed, until=Trigger(kind="arrival", value=p["commit"])),
        Phase(name="does not yield"),
    )
    s = branch.meets - lead_s * other_speed + p["ahead"]
    hero = Actor(path=branch.path, s=s, speed=other_speed, phases=phases, meets=branch.meets)
    return _plot(stage, p, rng, hero, clear=[_own_lane(stage)])


def debris(p: Parameters, rng: Generator, stage: Stage) -> Plot:
    speed = p["ego_speed"]
    free = _lane_beside(stage, rng)
    s = stage.start + CAR[0] + p["headway"] * speed
    first = s + (p["wait"] + p["reveal"]) * speed
    phases = (
        Phase(name="hides it", until=Trigger(kind="time", value=p["wait"])),
        Phase(
            name="swerves",
            offset=free,
            duration=0.9 * p["reveal"] + 0.3,
            until=Trigger(kind="time", value=p["reveal"] + 1.0),
        ),
        Phase(name="returns", offset=0.0, duration=3.0),
    )
    lead = Actor(path=stage.path, s=s, speed=speed, phases=phases)
    pieces = [
        Actor(
            path=stage.path,
            s=first + 3.0 * k,
            d=p["aside"] + (0.0 if k == 0 else float(rng.uniform(-0.8, 0.8))),
            size=DEBRIS,
            type=AgentType.OTHER,
        )
        for k in range(round(p["pieces"]))
    ]
    clear = [_own_lane(stage), (free, stage.start - 40.0, stage.path.length)]
    return _plot(stage, p, rng, lead, *pieces, clear=clear)


def wrong_way(p: Parameters, rng: Generator) -> Plot:
    speed = p["ego_speed"]
    if rng.random() < 0.5:
        stage, beside = exit_lane(rng, speed=speed, lead_s=p["ttc"])
        clear = [(0.0, stage.start - 40.0, stage.path.length)]
    else:
        stage = beside = s_highway(rng, speed=speed, lead_s=p["ttc"])
        clear = [(0.0, 0.0, stage.path.length), (_lane_beside(stage, rng), stage.start - 40.0, stage.path.length)]
    against = Path(stage.path.points[::-1])
    s = against.length - stage.start - CAR[0] - p["ttc"] * (speed + p["speed"])
    hero = Actor(path=against, s=s, d=-p["aside"], speed=p["speed"], phases=(Phase(name="comes against the traffic"),))
    cars = traffic(beside, rng, round(p["traffic"]), speed, clear=clear)
    return Plot(stage=stage, ego=Actor(path=stage.path, s=stage.start, speed=speed), others=[hero], traffic=cars)


HIGHWAY_HELD_OUT = (
    LogicalScenario(
        name="full-stop",
        story="As the ego comes close, the lead reacts by braking to a full stop.",
        road="S-shaped highway",
        setting=on_s_highway(lambda p: p["wait"] + 2.0),
        write=full_stop,
        held_out=True,
        parameters={
            "ego_speed": EGO_SPEED,
            "share": Range(low=0.7, high=0.9, unit="1", about="speed of the lead by that of the ego", harder="low"),
            "headway": Range(low=0.7, high=1.6, unit="s", about="time gap at which the lead reacts", harder="low"),
            "deceleration": Range(low=4.0, high=7.0, unit="m/s^2", about="braking of the lead", harder="high"),
            "wait": Range(low=1.2, high=2.5, unit="s", about="until the ego is that close"),
            "traffic": TRAFFIC,
        },
    ),
    LogicalScenario(
        name="rear-end-approach",
        story="A vehicle comes from behind and does not brake for the ego, which has a free lane beside it.",
        road="S-shaped highway",
        setting=on_s_highway(lambda p: p["ttc"], beside=True),
        write=rear_end_approach,
        held_out=True,
        parameters={
            "ego_speed": Range(low=15.0, high=25.0, unit="m/s", about="speed of the ego", harder="low"),
            "faster": Range(low=4.0, high=12.0, unit="m/s", about="by which the hero is faster", harder="high"),
            "ttc": Range(low=3.0, high=5.5, unit="s", about="time to collision at the start", harder="low"),
            "traffic": TRAFFIC,
        },
    ),
    LogicalScenario(
        name="zipper-merge",
        story="Two roads become one, and the vehicle that comes along the other does not yield.",
        road="merge",
        write=zipper_merge,
        held_out=True,
        parameters={
            "ego_speed": EGO_SPEED,
            "ahead": Range(low=-3.0, high=5.0, unit="m", about="from the ego's centre to the hero's as they meet"),
            "faster": Range(low=-3.0, high=3.0, unit="m/s", about="speed of the hero less that of the ego"),
            "commit": Range(
                low=2.0, high=3.5, unit="s", about="before they meet, when it no longer adapts", harder="low"
            ),
            "traffic": TRAFFIC,
        },
    ),
    LogicalScenario(
        name="debris",
        story="The lead swerves around something that lies in the lane.",
        road="S-shaped highway",
        setting=on_s_highway(lambda p: p["wait"] + p["reveal"] + p["headway"], beside=True),
        write=debris,
        held_out=True,
        parameters={
            "ego_speed": EGO_SPEED,
            "headway": Range(low=0.9, high=2.0, unit="s", about="time gap from the ego to the lead", harder="low"),
            "reveal": Range(low=1.2, high=2.5, unit="s", about="from the swerve to the objects", harder="low"),
            "aside": Range(low=-0.8, high=0.8, unit="m", about="offset of the first object in the lane"),
            "pieces": Range(low=1.0, high=4.0, unit="objects", about="that lie there"),
            "wait": Range(low=1.0, high=1.8, unit="s", about="when the lead swerves"),
            "traffic": TRAFFIC,
        },
    ),
    LogicalScenario(
        name="wrong-way",
        story="A driver comes against the traffic, along the highway or up the exit, in the ego's lane.",
        road="S-shaped highway, off-ramp",
        write=wrong_way,
        held_out=True,
        parameters={
            "ego_speed": EGO_SPEED,
            "speed": Range(low=8.0, high=25.0, unit="m/s", about="speed of the hero", harder="high"),
            "ttc": Range(low=3.0, high=5.5, unit="s", about="time to collision at the start", harder="low"),
            "aside": Range(low=-0.6, high=0.6, unit="m", about="offset of the hero in the lane"),
            "traffic": TRAFFIC,
        },
    ),
)
