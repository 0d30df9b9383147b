"""Bundles as the tests of package formats make them."""

from tests.firmware.conftest import _built, bundle, make_bundle

__all__ = ["_built", "bundle", "make_bundle"]
