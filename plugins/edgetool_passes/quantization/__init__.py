"""How the quantizing passes work: what to quantize, to which ranges, and where the Q/DQ goes. Loads nothing heavy."""
