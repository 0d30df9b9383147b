"""What can be built and run at a site: each builder answers for itself, this file only asks the right one."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from edgetool.backends import Availability, Site
from edgetool.errors import DeviceError, EdgetoolError
from edgetool_tensorrt.choice import choose
from edgetool_tensorrt.options import TensorRtOptions
from edgetool_tensorrt.version import Version

_CONNECT = 15.0
_DISTRIBUTIONS = ("tensorrt", "tensorrt-rtx")


def availability(options: TensorRtOptions, site: Site) -> Availability:
    """The chosen builder's answer, with its name, the reason for it, and what is known to go wrong there."""
    choice = choose(site, options)
    match choice.kind:
        case "rtx":
            from edgetool_tensorrt.rtx.probe import availability as rtx

            found = rtx(options, site)
        case "local":
            from edgetool_tensorrt.local.probe import availability as local

            found = local(options, site)
        case "ssh":
            found = _on_device(options, site)
        case "kit":
            from edgetool_tensorrt.kit.probe import availability as kit

            found = kit(options, site)
    issues = found.known_issues or _known_issues(found, options, site)
    return replace(found, builder=choice.kind, why_builder=choice.why, known_issues=issues)


def installed_distributions() -> tuple[str, ...]:
    """Which of NVIDIA's distributions are here; on a board TensorRT may come from a package of its own."""
    return tuple(name for name in _DISTRIBUTIONS if _is_installed(name))


def _is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _on_device(options: TensorRtOptions, site: Site) -> Availability:
    """Ask the device itself, and hold it against what the target says of it."""
    if site.host is None:
        return Availability(
            False,
            False,
            None,
            "the builder is ssh and no host is named",
            'host = "NAME" in [targets.NAME.builder], as ssh knows it',
        )
    from edgetool_tensorrt.ssh import connect, probe
    from edgetool_tensorrt.ssh.compare import compare

    try:
        with connect(site.host, timeout=_CONNECT) as connection:
            device = probe(connection, options)
            compare(device, site, options)
    except DeviceError as error:
        return Availability(False, False, None, str(error), error.hint, device_error=error.code)
    except EdgetoolError as error:
        return Availability(False, False, None, str(error), error.hint)
    return Availability(
        can_build=True,
        can_run=True,
        version=str(device.tensorrt),
        stand_in=options.stand_in,
        device=device.facts(),
    )


def _known_issues(found: Availability, options: TensorRtOptions, site: Site) -> tuple[str, ...]:
    """For whoever asks about the target; of those that concern a model the check tells, which sees it."""
    from edgetool_tensorrt.knowledge import known_issues

    facts: Mapping[str, Any] = {**site.facts, **found.device}
    version, sm = facts.get("tensorrt"), facts.get("sm")
    if not isinstance(version, str) or not isinstance(sm, int):
        return ()
    rows = known_issues(Version.parse(version), sm, dla=options.dla_core is not None)
    return tuple(map(str, rows))
