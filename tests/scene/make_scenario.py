"""A WOMD Scenario proto that is small enough to work out by hand, and files of such protos."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from trafficgym.scene.readers import scenario_pb2 as pb
from trafficgym.scene.readers.tfrecord import frame


def make_scenario(id: str = "micro", *, steps: int = 3, current: int = 1) -> pb.Scenario:
    """Two tracks on a road of two lanes in a row; every field that a Scene needs is set.

    Track 70 is a vehicle at (1000 + 2 step, 2000, 30), track 71 is the SDC, a pedestrian 5 m to its north that is
    not valid at step 0. Lane 10 leads from (1000, 2000) to (1010, 2000) and into lane 11, which goes on to
    (1020, 2000) and has lane 12 on its left. Signal 11 has no entry at step 0, is red at step 1, then green.
    """
    scenario = pb.Scenario(scenario_id=id, current_time_index=current, sdc_track_index=1)
    scenario.timestamps_seconds.extend(7.0 + 0.1 * step for step in range(steps))
    add_track(scenario, 70, 1, [state(1000.0 + 2 * step, 2000.0, 30.0) for step in range(steps)])
    walker = [state(1000.0 + 2 * step, 2005.0, 30.0, size=(0.5, 0.6, 1.8)) for step in range(steps)]
    walker[0] = pb.ObjectState(center_z=29.0, valid=False)
    add_track(scenario, 71, 2, walker)
    scenario.objects_of_interest.append(70)
    scenario.tracks_to_predict.add(track_index=0, difficulty=2)

    first = add_lane(scenario, 10, [(1000, 2000), (1010, 2000)])
    first.exit_lanes.append(11)
    second = add_lane(scenario, 11, [(1010, 2000), (1020, 2000)])
    second.entry_lanes.append(10)
    second.speed_limit_mph, second.interpolating = 25.0, True
    second.left_neighbors.add(
        feature_id=12, self_start_index=0, self_end_index=1, neighbor_start_index=1, neighbor_end_index=2
    )
    add_lane(scenario, 12, [(1005, 2004), (1010, 2004), (1020, 2004)])
    edge = scenario.map_features.add(id=20).road_edge
    edge.type = 1
    edge.polyline.append(point(1000, 1998))  # a single point, as WOMD has
    line = scenario.map_features.add(id=21).road_line
    line.type = 7
    line.polyline.extend([point(1000, 2002), point(1020, 2002)])
    scenario.map_features.add(id=22).crosswalk.polygon.extend([point(1, 1), point(2, 1), point(2, 2)])
    sign = scenario.map_features.add(id=23).stop_sign
    sign.position = point(1009, 1998, 31.0)
    sign.lane.extend([10, 999])

    for step in range(steps):
        signals = scenario.dynamic_map_states.add()
        if step:
            signals.lane_states.add(lane=11, state=4 if step == 1 else 6, stop_point=point(1010, 2000))
    return scenario


def state(x: float, y: float, z: float, *, size: tuple[float, float, float] = (4.5, 2.0, 1.5)) -> pb.ObjectState:
    """A valid state that heads north-east at 20 m/s to the east."""
    return pb.ObjectState(
        center_x=x,
        center_y=y,
        center_z=z,
        length=size[0],
        width=size[1],
        height=size[2],
        heading=0.75,
        velocity_x=20.0,
        velocity_y=0.0,
        valid=True,
    )


def add_track(scenario: pb.Scenario, id: int, kind: int, states: Iterable[pb.ObjectState]) -> pb.Track:
    return scenario.tracks.add(id=id, object_type=kind, states=[s.SerializeToString() for s in states])


def add_lane(scenario: pb.Scenario, id: int, points: Iterable[tuple[float, float]]) -> pb.LaneCenter:
    lane = scenario.map_features.add(id=id).lane
    lane.type = 2
    lane.polyline.extend(point(x, y) for x, y in points)
    return lane


def point(x: float, y: float, z: float = 30.0) -> bytes:
    return pb.MapPoint(x=x, y=y, z=z).SerializeToString()


def write_tfrecord(path: Path, scenarios: Iterable[pb.Scenario]) -> Path:
    """Write scenarios as an uncompressed TFRecord."""
    path.write_bytes(b"".join(frame(scenario.SerializeToString()) for scenario in scenarios))
    return path
