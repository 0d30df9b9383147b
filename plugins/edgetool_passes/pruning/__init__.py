"""What to remove from a network, and how the rest makes up for it."""
