"""What a kit must know of its device beforehand, since nobody can ask it."""

from __future__ import annotations

from dataclasses import dataclass

from edgetool.backends import Site
from edgetool.errors import ConfigError
from edgetool_tensorrt.version import Version

_EXAMPLES = {"sm": "sm = 87", "tensorrt": 'tensorrt = "10.3.0"'}


@dataclass(frozen=True, slots=True)
class KitFacts:
    """The facts that every kit needs.

    Attributes:
        sm: compute capability times ten.
        tensorrt: the version whose trtexec will run, with as many numbers as the target names.
        version: the same, parsed.
    """

    sm: int
    tensorrt: str
    version: Version


def missing_facts(site: Site) -> tuple[str, ...]:
    """Names of facts that a kit needs and that the target lacks, or has in a form that means nothing."""
    return tuple(name for name in _EXAMPLES if not _is_usable(name, site.facts.get(name)))


def how_to_add(names: tuple[str, ...]) -> str:
    """What the user should write."""
    return f"add to [targets.NAME.facts]: {', '.join(_EXAMPLES[name] for name in names)}, as the device has them"


def kit_facts(site: Site) -> KitFacts:
    """The facts of a target. Raises ConfigError `missing-facts`, with all that are missing."""
    if missing := missing_facts(site):
        raise ConfigError(
            "missing-facts",
            f"a kit is made without its device: the target must say {' and '.join(missing)}",
            where="[targets.NAME.facts]",
            hint=how_to_add(missing),
        )
    sm, tensorrt = site.facts["sm"], str(site.facts["tensorrt"])
    return KitFacts(int(str(sm)), tensorrt, Version.parse(tensorrt))


def _is_usable(name: str, value: object) -> bool:
    if name == "sm":
        return isinstance(value, int) and not isinstance(value, bool) and value > 0
    try:
        Version.parse(str(value))
    except ValueError:
        return False
    return isinstance(value, str)
