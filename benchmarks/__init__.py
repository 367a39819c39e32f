"""Benchmarks, run as ``python -m benchmarks.NAME``: ratios from one run, on one machine."""
