"""Package formats of the update systems that devices run."""
