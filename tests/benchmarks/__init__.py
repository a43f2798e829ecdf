"""Benchmarks: by hand, results in docs/benchmarks.md."""
