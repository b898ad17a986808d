"""Trajectories as actions: two seconds are planned on the layers of SMART, half a second is driven."""
