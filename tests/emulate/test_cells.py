"""Which target is tried on which processor."""

from __future__ import annotations

import pytest

from edgetool.emulate.cells import wish_of
from edgetool.errors import ConfigError


def names(target: str, *texts: str) -> list[str]:
    return [row.name for row in wish_of(texts, sweep=False).of(target).processors]


def test_a_processor_is_for_all_targets_or_for_one() -> None:
    texts = ("haswell", "ov=denverton, snowridge", "ort=cortex-a53")
    assert names("ov", *texts) == ["haswell", "denverton", "snowridge"]
    assert names("ort", *texts) == ["haswell", "cortex-a53"]
    assert names("other", "ov=denverton") == []


def test_a_processor_that_is_named_twice_is_tried_once() -> None:
    assert names("ov", "haswell,haswell", "ov=haswell") == ["haswell"]


def test_a_target_that_is_not_there_is_a_mistake_and_not_silence() -> None:
    wish = wish_of(["ovv=denverton"], sweep=False)
    wish.require_targets(["ovv"])
    with pytest.raises(ConfigError, match="no target 'ovv'") as caught:
        wish.require_targets(["ov", "ort", "ov"])
    assert caught.value.hint == "validated are ov, ort"


def test_a_sweep_is_for_all() -> None:
    assert wish_of([], sweep=True).of("any")
    assert not wish_of([], sweep=False)
