"""What counts for the key of what a backend makes, and what does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgetool.backends.base import Availability, Site
from edgetool.engine.keys import backend_parts
from edgetool.engine.planned import PlannedBackend

FOUND = Availability(True, True, "10.3.0", builder="ssh", device={"sm": 87, "tensorrt": "10.3.0.30"})
BACKEND = PlannedBackend(
    "tensorrt",
    "edgetool_tensorrt.backend:TensorRT",
    1,
    {"workspace": 1},
    "edgetool-tensorrt 1.0",
    {"tensorrt": "10.3.0"},
    availability=FOUND,
    site=Site("ssh", "orin-1", {"sm": 87}),
)


def test_an_equal_device_under_another_name_is_the_same_place() -> None:
    elsewhere = replace(BACKEND, site=replace(BACKEND.site, host="orin-2"))
    assert backend_parts(elsewhere) == backend_parts(BACKEND)


@pytest.mark.parametrize(
    "other",
    [
        replace(BACKEND, revision=2),
        replace(BACKEND, options={"workspace": 2}),
        replace(BACKEND, tools={"tensorrt": "10.4.0"}),
        replace(BACKEND, loader="edgetool_openvino.backend:OpenVino"),
        replace(BACKEND, site=replace(BACKEND.site, facts={"sm": 89})),
        replace(BACKEND, availability=replace(FOUND, builder="local")),
        replace(BACKEND, availability=replace(FOUND, device={"sm": 87, "tensorrt": "10.3.0.31"})),
        replace(BACKEND, availability=None),
    ],
    ids=["revision", "options", "tools", "code", "facts", "builder", "device", "nothing there"],
)
def test_whatever_else_is_known_of_a_backend_counts(other: PlannedBackend) -> None:
    assert backend_parts(other) != backend_parts(BACKEND)
