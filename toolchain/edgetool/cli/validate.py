"""`edgetool validate`: the self-test that a bundle carries, on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgetool.cli.bundled import TIMEOUT, BundlePath, open_runnable, run_task
from edgetool.cli.options import Json, Quiet
from edgetool.cli.output import Output
from edgetool.errors import BudgetError

if TYPE_CHECKING:
    from edgetool.validate.difference import Difference


def validate(bundle: BundlePath, json: Json = False, quiet: Quiet = False) -> None:
    """Run a bundle's self-test, as a device does.

    The engine runs on the golden inputs, and its results are compared with the golden outputs.
    """
    import pydantic

    from edgetool.bundle.golden import read_min_cosine
    from edgetool.engine.bundled import bundled_engine
    from edgetool.engine.trial import SelfTestTask
    from edgetool.validate.difference import Difference

    opened, plugins = open_runnable(bundle)
    result = run_task(
        "self-test",
        lambda log: SelfTestTask(bundled_engine(opened, plugins), opened.path / "io", log("engine"), TIMEOUT),
        plugins,
        Output(json, quiet),
        name=opened.manifest.target.name,
    )
    rows = pydantic.TypeAdapter(list[Difference]).validate_python(result["differences"])
    wanted = read_min_cosine(opened.path / "io")
    failed = [row for row in rows if not _agrees(row, wanted)]
    Output(json, quiet).result(
        {
            "bundle": str(bundle),
            "content_digest": opened.content_digest,
            "passed": not failed,
            "min_cosine": wanted,
            "outputs": [row.to_json() for row in rows],
        },
        "\n".join(
            [
                f"{bundle}: golden outputs {'do not agree' if failed else 'agree'}",
                *(f"  {row.output}: cosine {row.cosine:.6f}, largest error {row.max_abs:.3g}" for row in rows),
            ]
        ),
    )
    if failed:
        raise BudgetError(
            "self-test-failed",
            "the engine does not give the golden outputs here: "
            + "; ".join(f"{row.output}: cosine {row.cosine:.6f}, wants {wanted}" for row in failed),
            where=str(bundle),
            hint="the runtime or the device differs from the one that the bundle was built with",
        )


def _agrees(row: Difference, min_cosine: float) -> bool:
    return row.equal >= min_cosine if row.integral else row.cosine >= min_cosine
