"""What the emulator, the deployer and the benchmarks share: senders, sample payloads, ports, a Python 3.10."""
