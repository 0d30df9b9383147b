"""The table of trtexec's options by release, and what a device's own help offers."""

from __future__ import annotations

import pytest

from edgetool_tensorrt.trtexec import listed, offered, releases, taken
from edgetool_tensorrt.version import Version


@pytest.mark.parametrize(
    ("option", "has", "lacks"),
    [
        ("workspace", ["8.0", "8.2.1", "8.6.2"], ["10.0", "11.1"]),
        ("buildOnly", ["8.2.1", "8.6.2"], ["10.0"]),
        ("memPoolSize", ["8.4", "8.6", "10.3", "11.4.1"], ["8.2.1"]),
        ("skipInference", ["8.6", "10.0", "11.0"], ["8.5.2"]),
        ("builderOptimizationLevel", ["8.6"], ["8.5.2"]),
        ("exportLayerInfo", ["8.2"], ["8.0.1"]),
        ("stronglyTyped", ["10.0", "10.16", "11.0"], ["8.6.2"]),
        ("fp16", ["8.0", "10.16"], ["11.0"]),
        ("int8", ["8.0", "10.16"], ["11.0"]),
        ("calib", ["8.0", "10.7"], ["11.0"]),
        ("int4", ["10.1", "10.16"], ["10.0", "11.0"]),
        ("runtimePlatform", ["10.2"], ["10.1"]),
        ("noCudaGraph", ["11.0"], ["10.16"]),
        ("loadRefOutputs", ["11.1", "11.4.1"], ["11.0"]),
        ("consistency", ["8.2", "10.3", "10.13"], ["8.0", "10.4", "10.12"]),
    ],
)
def test_which_release_takes_what(option: str, has: list[str], lacks: list[str]) -> None:
    assert [one for one in has if option not in taken(Version.parse(one))] == []
    assert [one for one in lacks if option in taken(Version.parse(one))] == []


def test_every_release_takes_and_lists_something() -> None:
    assert {version.release() for version in releases()} >= {
        (8, 2), (8, 4), (8, 5), (8, 6), (10, 0), (10, 3), (10, 7), (10, 13), (10, 16), (11, 0), (11, 1),
    }  # fmt: skip
    for version in releases():
        assert {"onnx", "saveEngine", "loadEngine", "help"} <= listed(version) <= taken(version)


def test_help_of_8_6_no_longer_lists_what_it_still_takes() -> None:
    hidden = taken(Version(8, 6)) - listed(Version(8, 6))
    assert {"buildOnly", "streams", "plugins"} <= hidden


def test_versions_without_sources_count_as_the_newest_that_has_them() -> None:
    assert taken(Version(11, 4, 1)) == taken(Version(11, 1))
    assert taken(Version(7, 1)) == frozenset()


HELP = """&&&& RUNNING TensorRT.trtexec [TensorRT v100300] # trtexec --help
=== Model Options ===
  --onnx=<file>               ONNX model

=== Build Options ===
  --minShapes=spec                   Build with dynamic shapes using a profile with the min shapes provided
  --versionCompatible, --vc          Mark the engine as version compatible.
  --buildDLAStandalone               Standalone loadable. When it is enabled,
                                     --allowGPUFallback is disallowed and --skipInference is enabled by default.
  --verbose or -v                    Use verbose logging
  --help, -h                         Print this message
Note: pass --notAnOption to nobody
"""


def test_offered_reads_definitions_and_not_mentions() -> None:
    assert offered(HELP) == {"onnx", "minShapes", "versionCompatible", "vc", "buildDLAStandalone", "verbose", "help"}


@pytest.mark.parametrize("text", ["", "sh: 1: trtexec: not found\n", "--onnx\n", "\x00\x01"])
def test_nothing_is_offered_by_what_is_no_help(text: str) -> None:
    assert offered(text) == frozenset()
