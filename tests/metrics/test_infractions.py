from dataclasses import replace

import numpy as np

from tests.metrics.make_rollout import replay, with_event
from trafficgym.metrics import at_fault_collision, collision, goal, off_road, wrong_way
from trafficgym.scene.scene import RoadType
from trafficgym.world.events import Event


def test_rate_is_the_share_of_agents_with_the_event_at_any_step():
    rollout = with_event(replay(), Event.COLLISION | Event.GOAL, agent=1, step=0)
    rollout = with_event(rollout, Event.COLLISION, agent=1, step=7)
    assert collision(rollout).mean == 1 / 3
    assert collision(rollout).value.tolist() == [False, True, False]
    assert goal(rollout).mean == 1 / 3
    assert off_road(rollout).mean == 0


def test_only_simulated_agents_that_stand_on_the_road_at_the_start_count():
    rollout = with_event(replay(), Event.OFF_ROAD, agent=0, step=5)
    present = rollout.present.copy()
    present[2, 0] = False
    rollout = replace(rollout, is_simulated=np.array([False, True, True]), present=present)
    assert off_road(rollout).valid.tolist() == [False, True, False]
    assert off_road(rollout).mean == 0


def test_an_agent_that_was_taken_off_the_road_has_no_more_events():
    rollout = with_event(replay(), Event.OFF_ROAD, agent=0, step=5)
    present = rollout.present.copy()
    present[0, 3:] = False
    assert off_road(replace(rollout, present=present)).mean == 0


def test_fault_belongs_to_the_one_who_has_it():
    rollout = with_event(with_event(replay(), Event.COLLISION, 0, 4), Event.COLLISION, 1, 4)
    at_fault = rollout.at_fault.copy()
    at_fault[0, 4] = True
    rollout = replace(rollout, at_fault=at_fault)
    assert collision(rollout).total == 2
    assert at_fault_collision(rollout).value.tolist() == [True, False, False]


def test_a_scene_without_agents_has_no_rate():
    rollout = replace(replay(), is_simulated=np.zeros(3, bool))
    assert collision(rollout).mean is None


def test_off_road_is_unknown_where_the_map_has_no_road_edge():
    rollout = replay()
    road = rollout.scene.road
    no_edges = np.where(road.is_edge, np.int8(RoadType.LINE_UNKNOWN), road.type)
    bare = replace(rollout, scene=replace(rollout.scene, road=replace(road, type=no_edges)))
    assert off_road(rollout).mean == 0
    assert off_road(bare).mean is None
    assert wrong_way(bare).mean == 0
