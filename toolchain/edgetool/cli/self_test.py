"""The self-test that a bundle carries: on this machine, or on a device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetool.cli.bundled import TIMEOUT, open_runnable, run_task
from edgetool.cli.output import Output
from edgetool.errors import BudgetError, UnprovenError

if TYPE_CHECKING:
    from edgetool.validate.latency import Timing


def self_test(bundle: Path, output: Output, *, on: str | None = None) -> None:
    """Run the engine on the golden inputs, and compare its results with the golden outputs.

    Args:
        bundle: its folder.
        on: a device that ssh reaches; where the bundle is a kit, the device builds the engine first.

    Raises:
        BudgetError: they do not agree.
        UnprovenError: they agree on a stand-in.
        EdgetoolError: the engine cannot run here or there.
    """
    import pydantic

    from edgetool.bundle.golden import read_min_cosine
    from edgetool.engine.bundled import bundled_engine
    from edgetool.engine.trial import SelfTestTask
    from edgetool.validate.difference import Difference
    from edgetool.validate.latency import Timing
    from edgetool.validate.tolerance import golden_agrees

    opened, plugins = open_runnable(bundle)
    engine = bundled_engine(opened, plugins, host=on)
    result = run_task(
        "self-test",
        lambda log: SelfTestTask(engine, opened.path / "io", log("engine"), TIMEOUT),
        plugins,
        output,
        name=opened.manifest.target.name,
    )
    rows = pydantic.TypeAdapter(list[Difference]).validate_python(result["differences"])
    latency = Timing(**result["latency"]) if "latency" in result else None
    wanted = read_min_cosine(opened.path / "io")
    failed = [row for row in rows if not golden_agrees(row, wanted)]
    output.result(
        {
            "bundle": str(bundle),
            "content_digest": opened.content_digest,
            "passed": not failed,
            "min_cosine": wanted,
            "outputs": [row.to_json() for row in rows],
            "device": result["elsewhere"],
            "stand_in": engine.stand_in,
            "latency": latency.to_json() if latency else None,
            "conditions": result.get("conditions"),
        },
        "\n".join(
            [
                f"{bundle}: golden outputs {'do not agree' if failed else 'agree'}"
                + (f" on {result['elsewhere']}" if result["elsewhere"] else ""),
                *(f"  {row}" for row in rows),
                *_on_device(latency, result.get("conditions") or {}),
            ]
        ),
    )
    if failed:
        raise BudgetError(
            "self-test-failed",
            "the engine does not give the golden outputs here: "
            + "; ".join(map(str, failed))
            + f" (min_cosine {wanted})",
            where=str(bundle),
            hint="the runtime or the device differs from the one that the bundle was built with",
        )
    if engine.stand_in:
        raise UnprovenError(
            "proven-on-stand-in",
            f"the golden outputs agree on {engine.stand_in}, a stand-in, which proves nothing for the real device",
            where=str(bundle),
            hint="run it on the device itself: edgetool validate BUNDLE --on HOST",
        )


def _on_device(latency: Timing | None, conditions: Mapping[str, Any]) -> Iterator[str]:
    """How fast a device elsewhere was, and in which state."""
    from edgetool.config.units import format_seconds

    if latency is not None:
        yield f"  p50 {format_seconds(latency.p50)}, p99 {format_seconds(latency.p99)} over {latency.runs} runs"
    if conditions:
        yield "  " + ", ".join(f"{name} {value}" for name, value in conditions.items())
