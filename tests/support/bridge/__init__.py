"""Bridges and what is sent to them: clocks, signed requests, events, responses."""
