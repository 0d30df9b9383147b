"""Who vouches for a bundle: keys, signatures, and what a device checks."""
