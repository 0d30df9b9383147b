"""Which layers of a compressed network lost the accuracy, by how much, and what would help."""
