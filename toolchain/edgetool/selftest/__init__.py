"""The self-test that a device runs without Python: C sources for `src/` of a bundle."""

from edgetool.selftest.sources import package_files, selftest_sources

__all__ = ["package_files", "selftest_sources"]
