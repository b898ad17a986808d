"""Policies: networks that decide for many agents at once."""
