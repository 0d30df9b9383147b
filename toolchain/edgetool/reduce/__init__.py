"""Reduces a model that a backend fails on to the smallest one that still fails alike, for a bug report."""
