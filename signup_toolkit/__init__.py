"""Helpers for the emulator, the deployer and the benchmarks: senders, sample payloads, ports, a Python 3.10."""
