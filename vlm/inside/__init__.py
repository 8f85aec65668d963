"""Looks inside a running model: what its parts attend to, what its vectors already say, and what it would miss."""
