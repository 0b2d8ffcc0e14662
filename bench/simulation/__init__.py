"""Waves of signups against quota, budget and the senders' schedules: simulated, and the same for real."""
