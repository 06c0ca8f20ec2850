"""Unsupervised speech unit discovery with robustly trained vector-quantised bottlenecks."""

__version__ = "0.1.0"
