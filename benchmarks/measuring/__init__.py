"""Measuring of the benchmarks: time, memory, processes of their own, the machine's name."""
