"""Weights in 8 or 4 bits and everything else in float: what `quantize-weights` is made of."""
