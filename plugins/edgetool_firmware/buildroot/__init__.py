"""External trees for Buildroot."""
