"""Servers and connections that misbehave on demand."""
