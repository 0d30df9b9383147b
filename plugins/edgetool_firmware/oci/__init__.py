"""What container registries hold: models as artifacts, and images that run."""
