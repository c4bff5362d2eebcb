"""How the benchmarks measure: time, memory, processes of their own, the machine's name."""
