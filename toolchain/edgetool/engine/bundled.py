"""An engine that lies in a bundle, ready to be opened by its backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgetool.backends.base import Backend, Site
from edgetool.bundle.read import Bundle
from edgetool.engine.requests import EngineFile
from edgetool.errors import ConfigError, DeviceError, IntegrityError, UnavailableError
from edgetool.host import thread_count
from edgetool.plugin.loading import load_class
from edgetool.plugin.manager import Plugins, install_hint, missing_requirements


def bundled_engine(
    bundle: Bundle, plugins: Plugins, *, threads: int | None = None, host: str | None = None
) -> EngineFile:
    """The bundle's engine with the options that it was built with.

    Args:
        threads: of the engine; what this machine grants if None.
        host: the device to open it on; this machine if None.

    Raises:
        ConfigError: a host is named, and the backend runs engines on this machine only.
        UnavailableError: its backend is not installed here.
        DeviceError: its device is not here.
    """
    name = bundle.manifest.backend.name
    where = str(bundle.path)
    info = plugins.backend(name, where=where)
    if missing := missing_requirements(info):
        raise UnavailableError(
            "requirement-missing",
            f"{name!r} needs {', '.join(missing)}, which is not installed",
            where=where,
            hint=install_hint(info),
        )
    kind = load_class(info, Backend)
    options = dict(bundle.manifest.backend.options)
    if host is not None and "ssh" not in kind.builders:
        raise ConfigError(
            "backend-without-hosts",
            f"{name!r} opens engines on this machine only, not on {host}",
            where=where,
            hint="copy the bundle to the device, and run edgetool validate there",
        )
    builder = "ssh" if host else str(bundle.manifest.backend.facts.get("builder", "auto"))
    site = Site(builder, host, dict(bundle.manifest.target.facts))
    availability = kind(_options(kind, options, where), site).probe()
    if not availability.can_run:
        raise DeviceError(
            availability.device_error or "device-not-here",
            f"the engine cannot run here: {availability.why_not}",
            where=where,
            hint=availability.fix,
        )
    engine = bundle.engine
    return EngineFile(
        loader=info.loader,
        options=options,
        backend=name,
        directory=Path(engine.directory).absolute(),
        entry=engine.entry,
        precision=engine.precision,
        signature=engine.signature,
        threads=threads or thread_count(),
        site=site,
        facts=dict(bundle.manifest.runtime.facts),
        stand_in=availability.stand_in,
    )


def _options(kind: type[Backend[Any]], options: dict[str, Any], where: str) -> Any:
    """Of the manifest, in the backend's own class. Raises IntegrityError where they are not such options."""
    try:
        return kind.Options.model_validate(options)
    except ValueError as error:
        reason = ": ".join(str(error).splitlines()[1:3])[:200]
        raise IntegrityError(
            "manifest-invalid",
            f"these are no options of {kind.__name__}: {reason}",
            where=where,
            hint="get the bundle again, or open it with the edgetool that wrote it",
        ) from error
