"""Real networks on real data, one folder each. Nothing here is installed with edgetool."""
