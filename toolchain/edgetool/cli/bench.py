"""`edgetool bench`: how fast the engine of a bundle is on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgetool.cli.bundled import TIMEOUT, BundlePath, open_runnable, run_task
from edgetool.cli.options import Json, LatencyTime, Quiet
from edgetool.cli.output import Output

if TYPE_CHECKING:
    from edgetool.validate.latency import Timing

Against = Annotated[
    Path | None, typer.Option("--against", metavar="BUNDLE", help="Another bundle, to time the two in turns.")
]


def bench(
    bundle: BundlePath,
    against: Against = None,
    latency_time: LatencyTime = "2s",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Time the engine of a bundle, in turns with another one.

    Alone it is timed in turns with itself, which shows how noisy the machine is.
    """
    import pydantic

    from edgetool.cli.options import seconds_option
    from edgetool.engine.bundled import bundled_engine
    from edgetool.engine.trial import BenchTask
    from edgetool.validate.latency import Latency

    seconds = seconds_option(latency_time, "--latency-time")
    opened, plugins = open_runnable(bundle)
    other = open_runnable(against)[0] if against else opened
    result = run_task(
        "bench",
        lambda log: BenchTask(
            bundled_engine(opened, plugins),
            bundled_engine(other, plugins),
            opened.path / "io",
            (log("engine"), log("against")),
            TIMEOUT,
            seconds,
        ),
        plugins,
        Output(json, quiet),
        name=opened.manifest.target.name,
    )
    latency = pydantic.TypeAdapter(Latency).validate_python(result["latency"])
    lines = [_row(bundle.name, latency.engine)]
    if against and latency.reference:
        lines.append(_row(against.name, latency.reference))
        lines.append(f"{latency.speedup:.3f}x as fast (±{latency.speedup_spread:.1%})")
    else:
        lines.append(
            f"against itself {latency.speedup:.3f}x (±{latency.speedup_spread:.1%}): less than that is noise here"
        )
    if not latency.settled:
        lines.append(f"the windows did not agree within {seconds:g} s; --latency-time gives them longer")
    if result["device"]:
        conditions = ", ".join(f"{name} {value}" for name, value in result["conditions"].items())
        lines.append(f"on {result['device']}" + (f": {conditions}" if conditions else ""))
    Output(json, quiet).result(
        {
            "bundle": str(bundle),
            "against": str(against or bundle),
            "latency": latency.to_json(),
            "peak_memory": result["peak_memory"],
            "device": result["device"],
            "conditions": result["conditions"],
        },
        "\n".join(lines),
    )


def _row(name: str, timing: Timing) -> str:
    from edgetool.config.units import format_seconds

    return (
        f"{name}: p50 {format_seconds(timing.p50)} (±{timing.spread:.0%})  p90 {format_seconds(timing.p90)}"
        f"  p99 {format_seconds(timing.p99)}  {timing.runs} runs"
    )
