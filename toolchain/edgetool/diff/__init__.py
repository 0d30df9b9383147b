"""What changed between two bundles, for whoever decides whether the new one ships."""
