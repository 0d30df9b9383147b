"""Examines this machine: what edgetool runs on, which plugins work, and the command that brings what is missing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pydantic

from edgetool import __version__
from edgetool.backends.base import Availability, Backend
from edgetool.config.load import load
from edgetool.config.units import format_bytes
from edgetool.doctor.finding import Finding, Status
from edgetool.engine.cache import default_root
from edgetool.errors import ConfigError, UnavailableError
from edgetool.host import Host, read_host
from edgetool.plugin.loading import load_class
from edgetool.plugin.manager import Plugins, install_hint, load_plugins, missing_requirements
from edgetool.plugin.records import BackendInfo

_LITTLE_DISK = 2 * 2**30
_LITTLE_MEMORY = 2 * 2**30


def diagnose(targets_file: Path, *, overrides: Sequence[str] = ()) -> tuple[Finding, ...]:
    """All findings; nothing is installed, changed or sent anywhere.

    Args:
        targets_file: its targets are looked at too, where it exists.
        overrides: `KEY=VALUE` for that file.
    """
    host = read_host()
    plugins = load_plugins()
    return (
        Finding("edgetool", "ok", f"{__version__} in {Path(__file__).parents[1]}"),
        Finding("python", "ok", f"{platform.python_version()} at {sys.executable}"),
        _system(host),
        _threads(host),
        _memory(host),
        _isa(host),
        _cache(default_root()),
        *_plugins(plugins),
        *_requirements(plugins),
        *(_backend(info) for info in plugins.backends.values()),
        *(_targets(targets_file, plugins, overrides) if targets_file.is_file() else ()),
    )


def _system(host: Host) -> Finding:
    return Finding(
        "system", "ok", f"{platform.system()} {platform.release()}, {host.arch}, {host.cpu or 'CPU unnamed'}"
    )


def _threads(host: Host) -> Finding:
    quota = "no cgroup quota" if host.quota is None else f"cgroup quota {host.quota:g}"
    detail = f"{host.threads} of {host.cpus} CPUs (affinity {host.affinity}, {quota})"
    if host.quota is not None and host.quota < 1:
        return Finding("threads", "warn", detail, "latency will be throttled: grant the container a whole CPU or more")
    return Finding("threads", "ok", detail)


def _memory(host: Host) -> Finding:
    if host.memory is None:
        return Finding("memory", "warn", "unknown: /proc/meminfo cannot be read")
    granted = host.memory_limit or host.memory
    detail = format_bytes(granted) + (f" of {format_bytes(host.memory)}, by cgroup limit" if host.memory_limit else "")
    if granted < _LITTLE_MEMORY:
        return Finding("memory", "warn", detail, "a build takes up to four times the model's size and 300 MB")
    return Finding("memory", "ok", detail)


def _isa(host: Host) -> Finding:
    names = " ".join(host.isa) or "none that matters"
    if host.vnni:
        return Finding("int8", "ok", f"fast and exact here: {names}")
    text = "8-bit weights may saturate on this CPU, as on every one without VNNI; 7 bits are exact everywhere"
    return Finding("int8", "warn", f"{names}; {text}", "weight_bits = 7 in [targets.NAME.facts], for such a target")


def _cache(root: Path) -> Finding:
    """Free space and permission, at the folder itself or where it would be made."""
    place = next(folder for folder in (root, *root.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    detail = f"{root}, {format_bytes(free)} free"
    elsewhere = "set EDGETOOL_CACHE_DIR to another folder"
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        return Finding("cache", "broken", f"{detail}, not writable", elsewhere)
    if free < _LITTLE_DISK:
        return Finding("cache", "warn", detail, f"edgetool cache gc, or {elsewhere}")
    return Finding("cache", "ok", detail)


def _plugins(plugins: Plugins) -> Iterator[Finding]:
    for row in plugins.providers:
        title = f"plugin {row.name}"
        if row.error:
            fix = f"pip install --upgrade --force-reinstall {row.distribution}"
            yield Finding(title, "broken", f"{row.distribution} {row.version}: {row.error}", fix)
        elif row.distribution != "edgetool":
            yield Finding(title, "ok", f"{row.distribution} {row.version}: {', '.join(row.names)}")
    for name, rivals in plugins.conflicts.items():
        yield Finding(name, "broken", f"claimed by {' and '.join(rivals)}", f"pip uninstall {rivals[-1].split()[0]}")


def _requirements(plugins: Plugins) -> Iterator[Finding]:
    """What importers and passes need; backends are asked themselves."""
    for kind, infos in (("importer", plugins.importers), ("pass", plugins.passes)):
        for info in infos.values():
            title = f"{kind} {info.name}"
            if missing := missing_requirements(info):
                text = f"needs {', '.join(missing)}, which is not installed"
                yield Finding(title, "missing", text, install_hint(info))
            elif info.requires:
                yield Finding(title, "ok", ", ".join(f"{name} {_version(name)}" for name in info.requires))


def _version(module: str) -> str:
    names = importlib.metadata.packages_distributions().get(module, [])
    return importlib.metadata.version(names[0]) if names else "of unknown version"


def _backend(info: BackendInfo) -> Finding:
    title = f"backend {info.name}"
    if missing := missing_requirements(info):
        text = f"needs {', '.join(missing)}, which is not installed"
        return Finding(title, "missing", text, install_hint(info))
    try:
        kind: type[Backend[Any]] = load_class(info, Backend)
        found = kind(kind.Options()).probe()
    except UnavailableError as error:
        return Finding(title, "broken", str(error), error.hint)
    except pydantic.ValidationError:
        return Finding(title, "ok", "installed; it needs options of a target to say more", "edgetool build --dry-run")
    except Exception as error:  # noqa: BLE001 - the plugin boundary: anything may come out of foreign code
        return Finding(title, "broken", f"its probe failed: {type(error).__name__}: {error}", "report it to its author")
    return _probed(title, found)


def _probed(title: str, found: Availability) -> Finding:
    version = found.version or "version unknown"
    if found.can_build and found.can_run:
        stand_in = f", with {found.stand_in} in place of the real device" if found.stand_in else ""
        return Finding(title, "ok", f"{version}: builds and runs here{stand_in}")
    able = "builds here but cannot run" if found.can_build else "cannot build here"
    status: Status = "warn" if found.can_build else "missing"
    return Finding(title, status, f"{version}: {able}: {found.why_not}", found.fix)


def _targets(path: Path, plugins: Plugins, overrides: Sequence[str]) -> Iterator[Finding]:
    """Targets whose backend no plugin provides; the other ones depend on the backends above."""
    try:
        config = load(path, overrides=overrides, known_backends=plugins.backends, known_importers=plugins.importers)
    except ConfigError as error:
        yield Finding(str(path), "broken", str(error).splitlines()[0], f"edgetool targets validate --file {path}")
        return
    stand_ins = {name: target.name for target in config.targets.values() for name in target.stands_in_for}
    for target in config.targets.values():
        if target.backend not in plugins.backends:
            fix = "install a plugin that provides it; edgetool plugins lists what is here"
            if target.name in stand_ins:
                fix += f"; until then: edgetool build --target {stand_ins[target.name]}"
            text = f"no installed plugin provides its backend {target.backend}"
            yield Finding(f"target {target.name}", "missing", text, fix)
