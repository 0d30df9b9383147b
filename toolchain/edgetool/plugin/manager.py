"""Finds plugins one by one, so that a broken one spoils nothing but itself."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeVar

import pluggy

from edgetool.errors import ConfigError, UnavailableError
from edgetool.plugin import hookspecs
from edgetool.plugin.records import BackendInfo, ExporterInfo, FileInfo, ImporterInfo, Info, PassInfo

GROUP = "edgetool"
"""Entry-point group that plugins register in."""

_PREFIX = "edgetool_"
_KINDS: Mapping[str, type[Info]] = {
    "importers": ImporterInfo,
    "passes": PassInfo,
    "backends": BackendInfo,
    "exporters": ExporterInfo,
    "files": FileInfo,
}


@dataclass(frozen=True, slots=True)
class Provider:
    """One installed plugin: an entry point and what came of it.

    Attributes:
        name: the entry point's name.
        module: the entry point's value.
        distribution: name of the installed package that brings it.
        version: of that package.
        error: why it could not be loaded, in one line; None when it was.
        names: what it offers, as `kind/name`.
    """

    name: str
    module: str
    distribution: str
    version: str
    error: str | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plugins:
    """All that installed plugins offer, by kind and name.

    Attributes:
        conflicts: `kind/name` to the providers that all claim it; such a name cannot be used.
    """

    importers: Mapping[str, ImporterInfo]
    passes: Mapping[str, PassInfo]
    backends: Mapping[str, BackendInfo]
    exporters: Mapping[str, ExporterInfo]
    files: Mapping[str, FileInfo]
    providers: tuple[Provider, ...]
    conflicts: Mapping[str, tuple[str, ...]]

    def importer(self, name: str, *, where: str) -> ImporterInfo:
        return self._find("importers", self.importers, name, where)

    def pass_(self, name: str, *, where: str) -> PassInfo:
        return self._find("passes", self.passes, name, where)

    def backend(self, name: str, *, where: str) -> BackendInfo:
        return self._find("backends", self.backends, name, where)

    def exporter(self, name: str, *, where: str) -> ExporterInfo:
        return self._find("exporters", self.exporters, name, where)

    def provider_of(self, kind: str, name: str) -> Provider:
        return next(row for row in self.providers if f"{kind}/{name}" in row.names)

    def _find(self, kind: str, infos: Mapping[str, AnyInfo], name: str, where: str) -> AnyInfo:
        if name in infos:
            return infos[name]
        if rivals := self.conflicts.get(f"{kind}/{name}"):
            raise UnavailableError(
                "plugin-conflict",
                f"{kind[:-1] if kind != 'passes' else 'pass'} {name!r} is claimed by {' and '.join(rivals)}",
                where=where,
                hint=f"uninstall one of them: pip uninstall {rivals[-1].split()[0]}",
            )
        raise self._unknown(kind, infos, name, where)

    def _unknown(self, kind: str, infos: Iterable[str], name: str, where: str) -> ConfigError | UnavailableError:
        singular = {"importers": "importer", "passes": "pass", "backends": "backend", "exporters": "exporter"}[kind]
        if broken := [row for row in self.providers if row.error and name.replace("-", "_") in row.module]:
            return UnavailableError(
                "plugin-broken",
                f"{singular} {name!r} should come from plugin {broken[0].name!r}, which is broken: {broken[0].error}",
                where=where,
                hint="edgetool plugins",
            )
        close = get_close_matches(name, infos, n=1)
        meant = f"did you mean {close[0]!r}? " if close else ""
        return ConfigError(
            f"unknown-{singular}",
            f"unknown {singular} {name!r}",
            where=where,
            hint=f"{meant}known: {', '.join(sorted(infos)) or 'none'}",
        )


AnyInfo = TypeVar("AnyInfo", bound=Info)


def load_plugins() -> Plugins:
    """Load every entry point of the group. Never raises: what fails is a row with its reason."""
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    offered: dict[str, dict[str, list[tuple[str, Info]]]] = {kind: {} for kind in _KINDS}
    providers = []
    for entry in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        distribution = entry.dist.name if entry.dist else "unknown"
        version = entry.dist.version if entry.dist else "0"
        title = f"{distribution} {version} ({entry.name})"
        names: list[str] = []
        error = None
        try:
            for kind, info in _records(manager, entry, title):
                offered[kind].setdefault(info.name, []).append((title, info))
                names.append(f"{kind}/{info.name}")
        except (Exception, SystemExit) as failure:  # noqa: BLE001 - the plugin boundary: anything may come out
            error = f"{type(failure).__name__}: {failure}".splitlines()[0]
        providers.append(Provider(entry.name, entry.value, distribution, version, error, tuple(names)))
    conflicts = {
        f"{kind}/{name}": tuple(title for title, _ in claims)
        for kind, by_name in offered.items()
        for name, claims in by_name.items()
        if len(claims) > 1
    }

    def only(kind: str) -> dict[str, Info]:
        return {name: claims[0][1] for name, claims in offered[kind].items() if len(claims) == 1}

    return Plugins(
        importers=only("importers"),  # type: ignore[arg-type] # `_records` checked the kind of each record
        passes=only("passes"),  # type: ignore[arg-type]
        backends=only("backends"),  # type: ignore[arg-type]
        exporters=only("exporters"),  # type: ignore[arg-type]
        files=only("files"),  # type: ignore[arg-type]
        providers=tuple(providers),
        conflicts=conflicts,
    )


def _records(manager: pluggy.PluginManager, entry: importlib.metadata.EntryPoint, title: str) -> list[tuple[str, Info]]:
    """What one entry point offers. Raises whatever the plugin raises, and TypeError for a wrong answer."""
    module = entry.load()
    others = manager.get_plugins()
    manager.register(module, name=title)
    for attribute in dir(module):
        marked = manager.parse_hookimpl_opts(module, attribute) is not None
        if marked and not hasattr(hookspecs, attribute):
            raise TypeError(f"{attribute} is not a hook of edgetool")
    found: list[tuple[str, Info]] = []
    for kind, record in _KINDS.items():
        hook: Callable[[], list[list[Info]]] = manager.subset_hook_caller(_PREFIX + kind, others)
        for answer in hook():
            for info in answer:
                if not isinstance(info, record):
                    raise TypeError(f"{_PREFIX}{kind} returned {type(info).__name__}, wants {record.__name__}")
                found.append((kind, info))
    return found


def missing_requirements(info: Info) -> tuple[str, ...]:
    """Import names that a record requires and that are not installed here."""
    return tuple(name for name in info.requires if importlib.util.find_spec(name) is None)


def install_hint(info: Info) -> str:
    """The command that brings what a record requires."""
    return f"pip install 'edgetool[{info.extra}]'" if info.extra else f"pip install {' '.join(info.requires)}"
