"""Finding the repeated residual blocks of a network, judging them, and taking them out."""
