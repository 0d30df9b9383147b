"""Palettes: a weight's numbers replaced by few different ones, chosen so that the weight changes least."""
