"""Bundles as the tests of package formats make them."""

from tests.firmware.conftest import make_bundle

__all__ = ["make_bundle"]
