"""`kit/target`: what the script must know of its target, as lines `name value`."""

from __future__ import annotations

from collections.abc import Iterator

from edgetool.artifact import Facts
from edgetool.signature import Signature
from edgetool_tensorrt import knowledge
from edgetool_tensorrt.options import TensorRtOptions


def target_lines(facts: Facts, options: TensorRtOptions, signature: Signature, *, model_bytes: int) -> str:
    """The file's text.

    A name may occur several times: the device must then have one of the values. Facts that the target leaves out are
    not compared; values hold no line breaks, and the script never runs them.

    Args:
        facts: of the target.
        options: of the backend.
        signature: of the model; the order of its inputs is that of the files that the script feeds.
        model_bytes: size of the model with its external data.
    """
    rows = [
        *_facts(facts),
        *(
            ("chip", f"{alias} {chip.name} {chip.sm}")
            for chip in knowledge.chips()
            for alias in (chip.name, *chip.aliases)
        ),
        *(("input", f"{position} {_kind(spec.shape)} {spec.name}") for position, spec in enumerate(signature.inputs)),
        ("model_bytes", str(model_bytes)),
        *(("trtexec", path) for path in [options.trtexec] if path),
        *(("stand_in", text) for text in [options.stand_in] if text),
    ]
    return "".join(f"{name} {' '.join(value.split())}\n" for name, value in rows)


def _facts(facts: Facts) -> Iterator[tuple[str, str]]:
    for name in ("arch", "soc"):
        if facts.get(name) is not None:
            yield name, str(facts[name])
    sm = int(str(facts["sm"]))
    yield "sm", str(sm)
    yield from (("sm", str(alias)) for chip in knowledge.chips() if chip.sm == sm for alias in chip.sm_aliases)
    yield "tensorrt", str(facts["tensorrt"])
    if facts.get("l4t") is not None:
        yield "l4t", str(facts["l4t"])
    elif facts.get("jetpack") is not None:
        jetpack = str(facts["jetpack"])
        yield "jetpack", jetpack
        yield from (("l4t", release) for release in releases_of(jetpack))


def releases_of(jetpack: str) -> tuple[str, ...]:
    """Releases of Jetson Linux that a JetPack stands for: `6.2` means 6.2.1, too; empty for one that is not known."""
    exact = knowledge.jetpack(jetpack)
    rows = [row for row in knowledge.jetpacks() if row is exact or f"{row.name}.".startswith(f"{jetpack}.")]
    return tuple(release for row in rows for release in row.l4t)


def _kind(shape: tuple[object, ...]) -> str:
    return "fixed" if all(isinstance(dim, int) for dim in shape) else "varies"
