"""Builds a bundle again and compares: what a build claims about itself is only worth what a second one confirms."""
