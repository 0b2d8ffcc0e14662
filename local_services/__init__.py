"""Servers, certificates and packages on this machine, for the tests and the benchmarks."""
