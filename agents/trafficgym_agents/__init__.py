"""Policies and learning algorithms, on torch, against the public interface of trafficgym alone."""
