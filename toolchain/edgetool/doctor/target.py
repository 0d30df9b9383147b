"""Examines one target: what it says, and what its backends find at its site, which may be a device elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from edgetool.artifact import Facts
from edgetool.backends.base import Availability
from edgetool.config.options import check_target_options
from edgetool.config.result import Config, ResolvedTarget
from edgetool.config.units import format_bytes
from edgetool.doctor.finding import Finding, Status
from edgetool.engine.plan import plan_backend
from edgetool.engine.planned import PlannedBackend
from edgetool.errors import ConfigError
from edgetool.plugin.manager import Plugins


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found of one target.

    Attributes:
        target: its name.
        findings: for people, in the order of a build.
        availability: what the probe of each backend said, by the backend's name; None where it could not be asked.
    """

    target: str
    findings: tuple[Finding, ...]
    availability: Mapping[str, Availability | None] = field(default_factory=dict)


def examine(config: Config, name: str, plugins: Plugins) -> Examination:
    """Probe the backends of a target at its site; nothing is built, and nothing is changed there.

    Raises:
        ConfigError: there is no such target.
    """
    target = config.target(name)
    mistakes = tuple(
        Finding(f"{config.path}", "broken", str(mistake), mistake.hint)
        for mistake in check_target_options(config, target, plugins)
    )
    if mistakes:
        return Examination(name, (*_described(target), *mistakes))
    asked = [_ask(target, backend, plugins, f"{config.path} [targets.{name}]") for backend in _backends(target)]
    findings = [*_described(target), *(finding for row in asked for finding in row.findings)]
    stand_ins = [other.name for other in config.targets.values() if name in other.stands_in_for]
    if stand_ins and not any(row.can_run for row in asked):
        text = f"{', '.join(stand_ins)} is built in its place in CI, and proves nothing for it"
        findings.append(Finding("stand-in", "ok", text, f"edgetool build --target {stand_ins[0]}"))
    return Examination(name, tuple(findings), {row.name: row.availability for row in asked})


def _backends(target: ResolvedTarget) -> tuple[str, ...]:
    return (target.backend, *target.fallback)


def _described(target: ResolvedTarget) -> Iterator[Finding]:
    """What targets.toml and the catalogue say, before anything is asked."""
    origin = f", from {target.extends[-1]}" if target.extends else ""
    yield Finding(f"target {target.name}", "ok", (target.description or "no description") + origin)
    yield Finding("described as", "ok", _listed(target.facts) or "nothing is said of the hardware")
    if target.recipe:
        yield Finding("recipe", "ok", f"{target.recipe}: {', '.join(row.use for row in target.passes) or 'no passes'}")


@dataclass(frozen=True, slots=True)
class _Answer:
    name: str
    findings: tuple[Finding, ...]
    availability: Availability | None = None

    @property
    def can_run(self) -> bool:
        return self.availability is not None and self.availability.can_run


def _ask(target: ResolvedTarget, name: str, plugins: Plugins, where: str) -> _Answer:
    title = f"backend {name}" if name == target.backend else f"fallback {name}"
    try:
        planned = plan_backend(target, name, plugins, where=where)
    except ConfigError as error:
        return _Answer(name, (Finding(title, "broken", str(error), error.hint),))
    except Exception as error:  # noqa: BLE001 - the plugin boundary: anything may come out of foreign code
        text = f"its probe failed: {type(error).__name__}: {error}"
        return _Answer(name, (Finding(title, "broken", text, "report it to its author"),))
    return _Answer(name, tuple(_answered(title, target, planned)), planned.availability)


def _answered(title: str, target: ResolvedTarget, planned: PlannedBackend) -> Iterator[Finding]:
    found = planned.availability
    if found is None:
        yield _unasked(title, planned)
        return
    yield Finding(title, "ok" if found.can_build else _unable(found), found.version or "version unknown")
    if found.builder:
        yield Finding("builder", "ok", f"{found.builder}: {found.why_builder or 'it does not say why'}")
    if found.device or target.builder.host:
        yield _device(target, found)
    yield from _able(found)
    yield from (Finding("known issue", "warn", sentence) for sentence in found.known_issues)


def _unasked(title: str, planned: PlannedBackend) -> Finding:
    if planned.failure is None:
        return Finding(title, "missing", "it was not asked")
    return Finding(title, "missing", planned.failure.message, planned.failure.hint)


def _device(target: ResolvedTarget, found: Availability) -> Finding:
    place = f"{target.builder.host}: " if target.builder.host else ""
    if found.device_error:
        text = f"{place}{found.why_not or 'it does not say why'}"
        return Finding("device", "broken", text, f"edgetool explain {found.device_error}")
    return Finding("device", "ok", place + (_listed(found.device) or "it says nothing of itself"))


def _able(found: Availability) -> Iterator[Finding]:
    """One line for building and one for running; the reason and its remedy stand with the first that fails."""
    why, fix = found.why_not, found.fix
    if not found.can_build:
        yield Finding("build", _unable(found), f"not possible: {why or 'it does not say why'}", fix)
        return
    yield Finding("build", "ok", "engines can be built")
    if found.can_run and found.stand_in:
        yield Finding("run", "warn", f"by {found.stand_in} in place of the device, which proves nothing for it", fix)
    elif found.can_run:
        yield Finding("run", "ok", "engines can be run, measured and validated")
    else:
        text = f"not possible, so a build ends with exit 9: {why or 'it does not say why'}"
        yield Finding("run", "warn", text, fix)


def _unable(found: Availability) -> Status:
    return "broken" if found.device_error else "missing"


def _listed(facts: Facts) -> str:
    return ", ".join(f"{name} {_shown(name, value)}" for name, value in facts.items() if value is not None)


def _shown(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name in ("ram", "flash") and isinstance(value, int):
        return format_bytes(value)
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
