"""`rauc`: bundles for RAUC."""
