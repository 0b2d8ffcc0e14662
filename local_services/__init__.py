"""Servers, certificates and packages on this machine that both the tests and the benchmarks use."""
