"""Learning algorithms, against the standard interface of trafficgym."""
