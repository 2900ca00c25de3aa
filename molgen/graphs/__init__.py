"""Molecules as sequences of building steps."""
