"""Columns of the tables that the kernels of the drivers' law share; all of them float64."""

from __future__ import annotations

# What a road user is doing, ``[N, NUM_STATE]``. "Front" is the front bumper, S the front axle.
(
    X,  # m, box centre, frame of the road
    Y,
    YAW,  # rad
    SPEED,  # m/s along yaw
    S,  # m along the route, of the front axle (pedestrians: of the centre)
    D,  # m to the left of the route
    PRESENT,
    ROUTE,  # index into the network
    ACCELERATION,  # m/s^2, in the last step
    NOISE,  # m/s^2, the part of it that is noise
    DRIFT,  # m, lateral noise
    WANDER,  # m, that noise smoothed: what the road user follows
    FROM,  # m, lateral offset at which a lane change began
    PROGRESS,  # of a lane change, 1 when it is done; of pedestrians, 1 when they have arrived
    COOLDOWN,  # s until the next lane change may begin
    STOPPED,  # index of the stop line at which it has stopped, plus 1
    WAIT,  # s of standing still
    WALKING,  # a pedestrian has set out
    BLOCK,  # m along the route: the line at which a signal or sign holds it, 1e9 for none
    LAST,  # first of MAX_LAG slots: accelerations that were decided and not yet carried out
) = range(20)
MAX_LAG = 6
NUM_STATE = LAST + MAX_LAG

# Who somebody is, ``[N, NUM_TRAITS]``: hidden, and fixed for good.
(
    KIND,  # AgentType
    LENGTH,  # m
    WIDTH,
    HEIGHT,
    SPEED_FACTOR,  # desired speed over what limit and curves allow
    TOP_SPEED,  # m/s, that it never exceeds
    HEADWAY,  # s
    MAX_ACCELERATION,  # m/s^2
    BRAKING,  # m/s^2, comfortable
    STANDSTILL_GAP,  # m
    POLITENESS,  # of MOBIL
    THRESHOLD,  # m/s^2, of MOBIL
    SAFE_BRAKING,  # m/s^2, of MOBIL
    LAG,  # steps of 0.1 s
    NOISE_STD,  # m/s^2
    WANDER_STD,  # m
    SIDE,  # m, where in the lane it likes to be
    GAP_MARGIN,  # s, spare time when it takes a gap
    CHANGE_TIME,  # s that a lane change lasts
) = range(19)
NUM_TRAITS = 19

# A point of a route, every SPACING metres, ``[P, 5]``.
PX, PY, PYAW, PCURVATURE, PSPEED = range(5)
SPACING = 0.5

# A stop line, ``[K, 3]``.
STOP_S, STOP_RULE, STOP_SIGNAL = range(3)
SIGNAL_RULE, ALL_WAY_RULE, STOP_SIGN_RULE, YIELD_RULE = range(4)

# A stretch in which route a is too close to route b, ``[Z, 7]``.
IN_A, OUT_A, IN_B, OUT_B, MEETING, FIRST, HOLD_A = range(7)
NUM_ZONE = 7
CROSSING, MERGE, ZIPPER = range(3)

FAR = 1e9
DT = 0.1  # s
AXLE = 0.3
"""Both axles are this far from the box centre, over the box length: those of `Bicycle`."""
