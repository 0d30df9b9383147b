"""The contract of backends: on this computer, and on the cores that the emulator has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from edgetool.testing import (
    BackendConformance,
    foreign_operator,
    tiny_branches,
    tiny_cnn,
    tiny_int8_cnn,
    tiny_lstm,
    tiny_mlp,
    tiny_text,
)
from edgetool_c.backend import PlainC
from tests.c.fixing import fixed


class TestHost(BackendConformance):
    backend = PlainC
    options: ClassVar[Mapping[str, Any]] = {"board": "host"}
    models = tuple(map(fixed, (tiny_mlp, tiny_int8_cnn)))
    refused = (foreign_operator,)


@pytest.mark.slow
class TestHostFurther(TestHost):
    models = tuple(map(fixed, (tiny_cnn, tiny_lstm, tiny_branches, tiny_text)))


class TestCortexM4(BackendConformance):
    backend = PlainC
    models = (fixed(tiny_int8_cnn),)
    refused = (foreign_operator,)

    @pytest.fixture(autouse=True)
    def _tools(self, require_tool: Any) -> None:
        require_tool("arm-none-eabi-gcc")
        require_tool("qemu-system-arm")


@pytest.mark.slow
class TestCortexM4Further(TestCortexM4):
    models = tuple(map(fixed, (tiny_mlp, tiny_cnn, tiny_lstm, tiny_branches, tiny_text)))


@pytest.mark.slow
class TestCortexM3(TestCortexM4):
    options: ClassVar[Mapping[str, Any]] = {"board": "mps2-an385", "optimize": "s"}
    models = tuple(map(fixed, (tiny_mlp, tiny_int8_cnn)))


@pytest.mark.slow
class TestCortexM7(TestCortexM4):
    options: ClassVar[Mapping[str, Any]] = {"board": "mps2-an500", "optimize": "3"}
    models = tuple(map(fixed, (tiny_mlp, tiny_int8_cnn)))


@pytest.mark.slow
class TestFloatPairs(TestHost):
    """Q/DQ pairs left as they are."""

    options: ClassVar[Mapping[str, Any]] = {"board": "host", "integers": False}
    models = (fixed(tiny_int8_cnn),)
