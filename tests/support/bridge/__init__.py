"""Bridges, clocks, signed requests, events and responses."""
