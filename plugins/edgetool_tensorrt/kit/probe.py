"""Whether a kit can be made here: everywhere, if the target says what the device is."""

from __future__ import annotations

from edgetool.backends import Availability, Site
from edgetool_tensorrt.kit.facts import how_to_add, kit_facts, missing_facts
from edgetool_tensorrt.options import TensorRtOptions


def availability(options: TensorRtOptions, site: Site) -> Availability:
    """A kit can be built on any machine, and its engine runs on the device alone."""
    if missing := missing_facts(site):
        return Availability(
            can_build=False,
            can_run=False,
            version=None,
            why_not=f"a kit is made without its device, and the target does not say {' and '.join(missing)}",
            fix=how_to_add(missing),
        )
    return Availability(
        can_build=True,
        can_run=False,
        version=str(kit_facts(site).version),
        why_not="the device builds the engine itself",
        fix="sh BUNDLE/model/build-engine.sh --output DIR on the device, then edgetool validate BUNDLE --on ssh://HOST",
        stand_in=options.stand_in,
        deferred=True,
    )
