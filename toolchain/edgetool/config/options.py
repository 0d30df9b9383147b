"""Checks the tables that belong to plugins against the plugins' own schemas, without running any of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import pydantic

from edgetool.backends.base import Backend
from edgetool.config.mistakes import Mistake
from edgetool.config.positions import KeyPath
from edgetool.config.result import Config, ResolvedTarget
from edgetool.config.schema import PackageTable
from edgetool.config.translate import mistakes_from
from edgetool.config.tree import Tree
from edgetool.errors import ConfigError, UnavailableError
from edgetool.exporters.base import Exporter
from edgetool.importers.base import Importer
from edgetool.nearest import one_of
from edgetool.passes.base import Pass

if TYPE_CHECKING:
    from edgetool.plugin.manager import Plugins

Kind: TypeAlias = Literal["importers", "passes", "backends", "exporters"]


def check_options(config: Config, plugins: Plugins) -> Iterator[Mistake]:
    """Mistakes in the options of the passes, backends and importers that the whole file names, and unknown names.

    A plugin that is broken is left out: `edgetool plugins` says so, and the plan of its target fails.
    """
    for recipe in config.recipes:
        yield from _check_recipe(config, recipe, plugins)
    for target in config.targets.values():
        yield from _unknown_backends(target, plugins)
        yield from _check_backends(target, plugins)
        yield from _check_package(target, plugins)
    yield from _check_importers(config, plugins)


def check_target_options(config: Config, target: ResolvedTarget, plugins: Plugins) -> Iterator[Mistake]:
    """The same for what one target uses; the classes of other plugins are not loaded."""
    written = [row.name for row in target.candidates if row.written]
    for recipe in (target.recipe, *written):
        if recipe is not None:
            yield from _check_recipe(config, recipe, plugins)
    yield from _check_backends(target, plugins)
    yield from _check_package(target, plugins)
    yield from _check_importers(config, plugins)


def _check_recipe(config: Config, recipe: str, plugins: Plugins) -> Iterator[Mistake]:
    for index, entry in enumerate(config.recipes[recipe]):
        at: KeyPath = ("recipes", recipe, "passes", index)
        if entry.use not in plugins.passes:
            path = (*at, "use")
            hint = one_of(entry.use, plugins.passes, what="passes")
            yield Mistake("unknown-pass", config.written.origin(path), path, f"there is no pass {entry.use!r}", hint)
        elif kind := options_of("passes", entry.use, plugins):
            yield from _check(kind, entry.options, config.written, at, at)


def _check_importers(config: Config, plugins: Plugins) -> Iterator[Mistake]:
    for name, table in (config.model.extra if config.model else {}).items():
        if kind := options_of("importers", name, plugins):
            yield from _check(kind, table, config.written, ("model", name), ("model", name))


def _unknown_backends(target: ResolvedTarget, plugins: Plugins) -> Iterator[Mistake]:
    """Backends that no plugin offers. A plan says so of its own target, with the exit code of what is missing."""
    named: list[tuple[KeyPath, str]] = [(("backend",), target.backend)]
    named += [(("fallback", index), name) for index, name in enumerate(target.fallback)]
    for key, name in named:
        path = ("targets", target.name, *key)
        try:
            plugins.backend(name, where=name)
        except ConfigError:
            hint = one_of(name, plugins.backends, what="backends")
            text = f"no installed plugin provides the backend {name!r}"
            yield Mistake("unknown-backend", target.origin(*key), path, text, hint)
        except UnavailableError:
            continue  # two plugins claim it, or its own is broken: the name is right


def _check_builder(target: ResolvedTarget, plugins: Plugins) -> Iterator[Mistake]:
    """A builder that none of the target's backends has."""
    named = target.builder.kind
    kinds = [kind for name in (target.backend, *target.fallback) if (kind := _backend(name, plugins)) is not None]
    known = sorted({"auto", *(builder for kind in kinds for builder in kind.builders)})
    if kinds and named not in known:
        path = ("targets", target.name, "builder", "kind")
        hint = one_of(named, known, what="builders")
        origin = target.origin("builder", "kind")
        yield Mistake("unknown-builder", origin, path, f"{target.backend} has no builder {named!r}", hint)


def _check_backends(target: ResolvedTarget, plugins: Plugins) -> Iterator[Mistake]:
    yield from _check_builder(target, plugins)
    for backend, table in target.options.items():
        if kind := options_of("backends", backend, plugins):
            yield from _check(kind, table, target.written, (backend,), ("targets", target.name, backend))


def _check_package(target: ResolvedTarget, plugins: Plugins) -> Iterator[Mistake]:
    """Formats that nobody writes, and the options of those that somebody does."""
    at: KeyPath = ("targets", target.name, "package")
    for index, name in enumerate(target.package.formats):
        if name not in plugins.exporters:
            origin = target.origin("package", "formats", index)
            hint = one_of(name, plugins.exporters, what="formats")
            yield Mistake("unknown-exporter", origin, (*at, "formats", index), f"there is no format {name!r}", hint)
    for name, table in target.package.options.items():
        path = (*at, name)
        if name not in plugins.exporters:
            hint = one_of(name, {*PackageTable.model_fields, *plugins.exporters}, what="keys")
            yield Mistake("unknown-key", target.origin("package", name), path, "unknown key", hint)
        elif not isinstance(table, dict):
            hint = f"write its options into [targets.{target.name}.package.{name}]"
            text = "wants a table of the exporter's options"
            yield Mistake("invalid-value", target.origin("package", name), path, text, hint)
    for name in {*target.package.formats, *target.package.options} & {*plugins.exporters}:
        table = target.package.options.get(name, {})
        if isinstance(table, dict) and (kind := options_of("exporters", name, plugins)):
            yield from _check(kind, table, target.written, ("package", name), (*at, name))


def _check(
    kind: type[pydantic.BaseModel], options: object, tree: Tree, at: KeyPath, shown_at: KeyPath
) -> Iterator[Mistake]:
    try:
        kind.model_validate(options)
    except pydantic.ValidationError as error:
        for mistake in mistakes_from(error, tree, kind, at=at):
            path = (*shown_at, *mistake.path[len(at) :])
            yield Mistake(mistake.code, mistake.origin, path, mistake.message, mistake.hint, mistake.of_table)


def options_of(kind: Kind, name: str, plugins: Plugins) -> type[pydantic.BaseModel] | None:
    """The schema of a plugin's options; None where the plugin is absent or broken."""
    from edgetool.plugin.loading import load_class

    try:
        match kind:
            case "passes":
                return load_class(plugins.passes[name], Pass).Options if name in plugins.passes else None
            case "importers":
                return load_class(plugins.importers[name], Importer).Options if name in plugins.importers else None
            case "exporters":
                return load_class(plugins.exporters[name], Exporter).Options if name in plugins.exporters else None
            case "backends":
                found = _backend(name, plugins)
                return found.Options if found else None
    except UnavailableError:
        return None


def _backend(name: str, plugins: Plugins) -> type[Backend[Any]] | None:
    """A backend's class; None where its plugin is absent or broken."""
    from edgetool.plugin.loading import load_class

    try:
        return load_class(plugins.backends[name], Backend) if name in plugins.backends else None
    except UnavailableError:
        return None
