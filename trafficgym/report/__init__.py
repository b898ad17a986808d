"""Evaluation of policies over many scenes, and what a reader gets of it: a table, JSON, a page with plots, GIFs."""
