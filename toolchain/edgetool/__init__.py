"""edgetool: from a trained network to a validated, hardware-specific bundle."""

__version__ = "0.1.0"
