"""Benchmarks, long comparisons, and adapters for real data sets."""
