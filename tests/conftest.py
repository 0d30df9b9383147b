"""What all tests share: a cache of their own, tools that CI must have, and hardware that is named when it is absent."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before any test imports onnxruntime

HARDWARE = {
    "gpu": "needs an NVIDIA GPU",
    "intel_gpu": "needs an Intel GPU",
    "npu": "needs an Intel NPU",
    "fpga": "needs a real FPGA",
    "jetson": "needs a Jetson board",
}
NOT_RUN = pytest.StashKey[list[str]]()


PACKAGES = (
    "torch", "safetensors", "onnxruntime", "openvino", "tensorrt_rtx", "nncf", "tokenizers", "emx_onnx_cgen",
    "cryptography", "pkcs11", "model_signing", "cyclonedx", "in_toto_attestation", "securesystemslib", "oras",
    "tritonclient", "oelint_adv", "kconfiglib", "junitparser", "jsonschema",
)  # fmt: skip
"""What tests may skip for want of on a developer's machine, and CI must have."""


@pytest.fixture(autouse=True, scope="session")
def _nothing_is_reported_to_vendors() -> Iterator[None]:
    """Tests load OpenVINO and NNCF as the product does; the telemetry of an import of their own forks from threads."""
    yield
    assert sys.modules.get("openvino_telemetry") is None, "a test imported openvino or nncf by itself"


def pytest_configure(config: pytest.Config) -> None:
    config.stash[NOT_RUN] = []
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing and os.environ.get("CI"):
        pytest.exit(f"CI must install {', '.join(missing)}: tests would be skipped without", returncode=1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take out what needs hardware that is not here, to be listed at the end instead of passing silently."""
    absent = []
    for item in items:
        for marker, reason in HARDWARE.items():
            if item.get_closest_marker(marker) and not _is_here(marker):
                config.stash[NOT_RUN].append(f"NOT RUN: {item.nodeid}: {reason}")
                absent.append(item)
                break
    if absent:
        items[:] = [item for item in items if item not in absent]
        config.hook.pytest_deselected(items=absent)


def _is_here(marker: str) -> bool:
    """Whether somebody says that the hardware is there; a board is said to be by its host's name."""
    said = os.environ.get(f"EDGETOOL_TEST_{marker.upper()}") == "1"
    return said or (marker == "jetson" and "EDGETOOL_JETSON" in os.environ)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Under xdist the workers collect: they hand their list to the process that reports."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["not_run"] = session.config.stash[NOT_RUN]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    rows = node.config.stash[NOT_RUN]
    rows += [row for row in getattr(node, "workeroutput", {}).get("not_run", []) if row not in rows]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if rows := config.stash[NOT_RUN]:
        terminalreporter.section("hardware that is not here")
        for row in rows:
            terminalreporter.line(row)
        terminalreporter.line(f"{len(rows)} tests NOT RUN for want of hardware")


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests never touch the user's cache."""
    os.environ["EDGETOOL_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def require_tool() -> Callable[[str], str]:
    """Path of a program; its absence skips with the reason locally and fails in CI."""

    def require(name: str) -> str:
        found = shutil.which(name)
        if found is None:
            reason = f"{name} is not installed"
            if os.environ.get("CI"):
                pytest.fail(f"{reason}; CI must install it")
            pytest.skip(reason)
        return found

    return require


@pytest.fixture
def run_cli() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `edgetool ARGUMENTS` as users do, in a process of its own."""

    def run(
        *arguments: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None, timeout: float = 240
    ) -> subprocess.CompletedProcess[str]:
        command: Sequence[str] = [sys.executable, "-m", "edgetool", *map(str, arguments)]
        return subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run
