"""Servers, processes and clocks that the demo, the tests and the benchmarks start."""
