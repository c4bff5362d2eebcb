"""Other libraries' models and pipelines as the benchmarks call them."""
