"""Gymnasium, PettingZoo and batched environments, thin over one world."""
