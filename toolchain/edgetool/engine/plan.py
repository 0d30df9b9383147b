"""From a target to its plan: names resolved, options validated, nothing heavy computed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import pydantic

from edgetool.backends.base import Availability, Backend, Site
from edgetool.config.mistakes import error_from
from edgetool.config.options import check_target_options
from edgetool.config.precision import CandidateRecipe
from edgetool.config.result import Config, ResolvedTarget
from edgetool.config.schema import ModelTable
from edgetool.config.translate import refusal
from edgetool.engine.order import PackageOrder, order_of
from edgetool.engine.planned import BuildPlan, Planned, PlannedBackend, PlannedCandidate, PlannedPass
from edgetool.engine.source import resolve_source
from edgetool.engine.survey import BackendQuestion, Survey, survey
from edgetool.errors import ConfigError, DeviceError, EdgetoolError, UnavailableError
from edgetool.importers.base import Importer, ImportRequest, Source
from edgetool.passes.base import Pass, PassOptions
from edgetool.plugin.loading import load_class
from edgetool.plugin.manager import Plugins, install_hint
from edgetool.plugin.records import BackendInfo, ImporterInfo, Info
from edgetool.signature import DimRange, TensorSpec

CORE_TOOLS = ("numpy", "onnx", "onnx-ir", "onnxscript")
"""Distributions behind every pass; their versions are part of the keys."""


def plan(
    config: Config, target_name: str, plugins: Plugins, *, source: str | None = None, trusted: bool = False
) -> BuildPlan:
    """Resolve and validate everything that a target's build needs.

    Raises:
        ConfigError: unknown names, wrong options, no source.
        UnavailableError: a pass, the importer, or every backend of the target is missing or broken here.
        DeviceError: the target's device cannot be reached, or is not as described.
    """
    preparation = plan_preparation(config, target_name, plugins, source=source, trusted=trusted)
    where = f"{config.path} [targets.{target_name}]"
    backends = _plan_backends(preparation.target, plugins, where, preparation.covered_by)
    if preparation.candidates:
        _refuse_deferred(backends, where)
    return replace(preparation, backends=backends, packages=_plan_packages(preparation, plugins))


def _plan_packages(preparation: BuildPlan, plugins: Plugins) -> PackageOrder | None:
    """What `[targets.NAME.package]` wants written; the key itself is read when the build begins."""
    config, target = preparation.config, preparation.target
    if not target.package.formats:
        return None
    where = f"{config.path} [targets.{target.name}.package]"
    return order_of(target.package_below(config.root), plugins, where=where)


def plan_preparation(
    config: Config, target_name: str | None, plugins: Plugins, *, source: str | None = None, trusted: bool = False
) -> BuildPlan:
    """As `plan`, up to the last pass: no backend is looked at. Without a target there are no passes."""
    target = config.target(target_name) if target_name else ResolvedTarget(name="convert", backend="")
    # Names that no plugin offers are left to `plan_pass`, which knows the broken and the conflicting ones.
    mistakes = [row for row in check_target_options(config, target, plugins) if row.code != "unknown-pass"]
    if mistakes:
        raise error_from(mistakes, file=str(config.path))
    model = config.model or ModelTable()
    found = resolve_source(config, source, trusted=trusted)
    return BuildPlan(
        config=config,
        target=target,
        name=model.name if config.model else _stem(found, model),
        version=model.version,
        source=found,
        importer=_plan_importer(found, model, plugins, target.builder.python, f"{config.path} [model]"),
        request=_request(model),
        passes=_plan_recipe(target, plugins, config),
        candidates=tuple(_plan_candidate(row, target, plugins, config) for row in target.candidates),
        backends=(),
        covered_by=tuple(name for name, other in config.targets.items() if target_name in other.stands_in_for),
    )


def _stem(source: Source, model: ModelTable) -> str:
    stem = source.path.name.split(".")[0] if source.path else model.name
    return "".join(char if char.isalnum() or char in "._-" else "-" for char in stem).strip("-._") or "model"


def _request(model: ModelTable) -> ImportRequest:
    return ImportRequest(
        inputs=tuple(TensorSpec(name, table.dtype, tuple(table.shape)) for name, table in model.inputs.items()),
        outputs=tuple(model.outputs),
        dims={name: DimRange(dim.min, dim.opt or dim.min, dim.max) for name, dim in model.dims.items()},
        opset=model.opset,
    )


def _plan_importer(source: Source, model: ModelTable, plugins: Plugins, python: str | None, where: str) -> Planned:
    if model.importer:
        info = plugins.importer(model.importer, where=where)
    else:
        info = importer_of(source, plugins)
    kind = load_class(info, Importer)
    seen = _surveyed(info, (*CORE_TOOLS, *kind.tools()), python, where=source.text)
    validated = _validated(kind.Options, model.extra.get(info.name, {}), where=f"{where[:-1]}.{info.name}]")
    return Planned(
        name=info.name,
        loader=info.loader,
        revision=kind.revision,
        options=validated.model_dump(mode="json"),
        provider=_provider(plugins, "importers", info.name),
        tools=seen.versions,
        isolated=bool(info.requires),
    )


def importer_of(source: Source, plugins: Plugins) -> ImporterInfo:
    """The first importer that reads sources of this kind. Raises ConfigError: none does."""
    name = source.path.name.lower() if source.path else ""
    for row in plugins.importers.values():
        if name.endswith(row.suffixes) if source.path else row.factories:
            return row
    raise ConfigError(
        "unknown-source",
        f"no importer reads {source.text!r}",
        where=source.text,
        hint="sources are .onnx, .pt2, TorchScript or `module:function`; set `importer` in [model] otherwise",
    )


def _plan_recipe(target: ResolvedTarget, plugins: Plugins, config: Config) -> tuple[PlannedPass, ...]:
    where = f"{config.path} [recipes.{target.recipe}]"
    return tuple(plan_pass(table.use, table.options, target, plugins, where=where) for table in target.passes)


def _plan_candidate(
    candidate: CandidateRecipe, target: ResolvedTarget, plugins: Plugins, config: Config
) -> PlannedCandidate:
    """Resolve one candidate; what this machine or the target's facts rule out comes back with the reason."""
    use = tuple(table.use for table in candidate.passes)
    where = f"{config.path} [{'recipes' if candidate.written else f'targets.{target.name}'}.{candidate.name}]"
    if candidate.fact and target.facts.get(candidate.fact) is False:
        return PlannedCandidate(candidate.name, use, left_out=f"the target's facts say {candidate.fact} = false")
    try:
        passes = tuple(plan_pass(row.use, row.options, target, plugins, where=where) for row in candidate.passes)
    except UnavailableError as error:
        return PlannedCandidate(candidate.name, use, failure=error)
    wanting = [row.name for row in passes if row.wants_calibration]
    if wanting and config.data.calibration is None:
        reason = f"{wanting[0]} needs calibration data, and [data] calibration names none"
        return PlannedCandidate(candidate.name, use, left_out=reason)
    return PlannedCandidate(candidate.name, use, passes)


def _refuse_deferred(backends: tuple[PlannedBackend, ...], where: str) -> None:
    """Engines that a device makes later can neither be compared nor measured now."""
    for row in backends:
        if row.failure is None and row.availability and row.availability.deferred:
            builder = f"the builder {row.availability.builder!r} of " if row.availability.builder else ""
            raise ConfigError(
                "nothing-to-compare",
                f'precision = "auto" compares engines, and {builder}{row.name!r} leaves making them to the device',
                where=where,
                hint='name the device with host = "..." in the target\'s builder table, or name a recipe in place of '
                "precision",
            )


def plan_pass(
    use: str, given: Mapping[str, Any], target: ResolvedTarget, plugins: Plugins, *, where: str
) -> PlannedPass:
    """Resolve one pass and its options, those left unset filled from the target's facts."""
    where = f"{where} use = {use!r}"
    info = plugins.pass_(use, where=where)
    seen = _surveyed(info, (*CORE_TOOLS, *info.requires), target.builder.python, where=where)
    kind = load_class(info, Pass)
    options = _validated(kind.Options, _with_facts(kind.Options, given, target.facts), where=where)
    return PlannedPass(
        name=info.name,
        loader=info.loader,
        revision=kind.revision,
        options=options.model_dump(mode="json"),
        provider=_provider(plugins, "passes", info.name),
        tools=seen.versions,
        isolated=bool(info.requires),
        wants_calibration=kind.wants_calibration(options),
        welcomes_calibration=kind.welcomes_calibration(options),
    )


def _with_facts(kind: type[PassOptions], given: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The user's options, and for those left unset what the target's facts say."""
    filled = dict(given)
    for name, field in kind.model_fields.items():
        extra = field.json_schema_extra
        if name not in filled and isinstance(extra, dict) and extra.get("fact") in facts:
            filled[name] = facts[str(extra["fact"])]
    return filled


def _plan_backends(
    target: ResolvedTarget, plugins: Plugins, where: str, covered_by: tuple[str, ...]
) -> tuple[PlannedBackend, ...]:
    planned = tuple(plan_backend(target, name, plugins, where=where) for name in (target.backend, *target.fallback))
    if all(row.failure for row in planned):
        first = planned[0].failure
        assert first is not None
        stand_in = (
            f"until then, CI can build the stand-in: edgetool build --target {covered_by[0]}" if covered_by else ""
        )
        hint = "; ".join(part for part in (first.hint, stand_in) if part)
        raise type(first)(first.code, first.message, where=first.where, hint=hint or None)
    return planned


def plan_backend(target: ResolvedTarget, name: str, plugins: Plugins, *, where: str) -> PlannedBackend:
    """Resolve one backend of a target; a missing or unusable one comes back with its `failure` set."""
    table = f"{where[:-1]}.{name}]" if where.endswith("]") else where
    site = Site(target.builder.kind, target.builder.host, dict(target.facts))
    try:
        info = _find_backend(plugins, name, where)
        kind: type[Backend[Any]] = load_class(info, Backend)
        options = _validated(kind.Options, target.options_of(name), where=table).model_dump(mode="json")
        seen = _surveyed(
            info, kind.tools(), target.builder.python, where=where, question=BackendQuestion(options, site)
        )
    except UnavailableError as error:
        return PlannedBackend(name, "", 0, {}, "", {}, failure=error)
    availability = seen.availability
    return PlannedBackend(
        name=info.name,
        loader=info.loader,
        revision=kind.revision,
        options=options,
        provider=_provider(plugins, "backends", info.name),
        tools=seen.versions,
        availability=availability,
        failure=_cannot_build(availability, name, where) if availability else None,
        deterministic=kind.deterministic,
        site=site,
    )


def _cannot_build(availability: Availability, name: str, where: str) -> EdgetoolError | None:
    if availability.can_build:
        return None
    why, fix = availability.why_not or "it does not say why", availability.fix
    if availability.device_error:
        return DeviceError(availability.device_error, why, where=where, hint=fix)
    return UnavailableError("backend-unusable", f"backend {name!r} cannot build here: {why}", where=where, hint=fix)


def _find_backend(plugins: Plugins, name: str, where: str) -> BackendInfo:
    try:
        return plugins.backend(name, where=where)
    except ConfigError as error:
        raise UnavailableError(
            "backend-missing",
            f"no installed plugin provides the backend {name!r}",
            where=where,
            hint=error.hint,
        ) from error


def _surveyed(
    info: Info,
    tools: Collection[str],
    python: str | None,
    *,
    where: str,
    question: BackendQuestion | None = None,
) -> Survey:
    """What the target's interpreter has. Raises `UnavailableError` where a requirement is missing."""
    found = survey(info, tools, python=python, backend=question)
    if found.missing:
        place = f" for {python}" if python else ""
        raise UnavailableError(
            "requirement-missing",
            f"{info.name!r} needs {', '.join(found.missing)}, which is not installed{place}",
            where=where,
            hint=install_hint(info),
        )
    return found


def _validated(kind: type[pydantic.BaseModel], options: Mapping[str, Any], *, where: str) -> Any:
    try:
        return kind.model_validate(dict(options))
    except pydantic.ValidationError as error:
        raise ConfigError(
            "wrong-options", _first_mistakes(error, kind), where=where, hint=_known_options(kind)
        ) from error


def _first_mistakes(error: pydantic.ValidationError, kind: type[pydantic.BaseModel]) -> str:
    lines = []
    for mistake in error.errors(include_url=False):
        key = ".".join(str(part) for part in mistake["loc"]) or "options"
        if mistake["type"] == "extra_forbidden":
            close = _close(key, kind.model_fields)
            lines.append(f"unknown option {key!r}" + (f", did you mean {close!r}?" if close else ""))
        else:
            lines.append(f"{key}: {refusal([mistake])}")
    return "; ".join(lines)


def _close(name: str, known: Collection[str]) -> str | None:
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, known, n=1)), None)


def _known_options(kind: type[pydantic.BaseModel]) -> str:
    return "options: " + (", ".join(kind.model_fields) or "none")


def _provider(plugins: Plugins, kind: str, name: str) -> str:
    row = plugins.provider_of(kind, name)
    return f"{row.distribution} {row.version}"
