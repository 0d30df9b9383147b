"""Packages for dpkg and apt."""
