"""Layers for Yocto."""
