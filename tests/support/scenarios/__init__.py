"""Scenarios of outcomes, senders that retry, and invariants that hold through any failure."""
