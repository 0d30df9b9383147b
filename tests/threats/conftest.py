"""The bundles of the firmware tests."""

from tests.firmware.conftest import _built, bundle, make_bundle

__all__ = ["_built", "bundle", "make_bundle"]
