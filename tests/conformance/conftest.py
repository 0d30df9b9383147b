"""Backends that break one promise each, installed as a plugin."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.installed import install_plugin

PLUGIN = '''
import os
import time
from dataclasses import replace

from edgetool.backends import Runner
from edgetool.plugin import BackendInfo, hookimpl
from edgetool.testing import Interpreter


class _Changed(Runner):
    """Runs what it wraps, and changes what comes out."""

    def __init__(self, inner, change):
        self.inner, self.change, self.signature = inner, change, inner.signature

    def infer(self, feeds):
        return {name: self.change(value) for name, value in self.inner.infer(feeds).items()}

    def close(self):
        self.inner.close()


class Lies(Interpreter):
    def open(self, engine, context):
        return _Changed(super().open(engine, context), lambda value: value + value.dtype.type(1))

    def build(self, model, directory, context):
        return replace(super().build(model, directory, context), backend="lies")


class Dies(Interpreter):
    def build(self, model, directory, context):
        os.abort()


class Hangs(Interpreter):
    def build(self, model, directory, context):
        time.sleep(600)


class Fails(Interpreter):
    def build(self, model, directory, context):
        raise KeyError("nobody thought of this")


@hookimpl
def edgetool_backends():
    return [BackendInfo(kind.__name__.lower(), "for tests", f"ill_plugin:{kind.__name__}")
            for kind in (Lies, Dies, Hangs, Fails)]
'''


@pytest.fixture
def ill(tmp_path: Path) -> dict[str, str]:
    """An environment in which they are installed, with a cache of its own."""
    environment = install_plugin(tmp_path / "site", "ill", PLUGIN)
    return {**environment, "EDGETOOL_CACHE_DIR": str(tmp_path / "cache")}
