"""Reference and engine on one feed: what is structurally wrong with the engine's answer becomes a finding."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from edgetool.errors import DeviceError, EdgetoolError, HostError, InterruptedByUserError, ModelError
from edgetool.validate.difference import DifferenceSum, difference
from edgetool.validate.findings import Finding
from edgetool.validate.samples import Array
from edgetool.validate.tolerance import SAME

if TYPE_CHECKING:
    from edgetool.runner import Feeds, Runner

Outputs: TypeAlias = dict[str, Array]
"""By name, in the order of the reference's signature; the arrays are nobody else's."""


class Pair:
    """Runs both and collects findings.

    Attributes:
        findings: in the order in which they were made; one a kind, output and group of feeds.
    """

    def __init__(self, reference: Runner, engine: Runner) -> None:
        self.findings: list[Finding] = []
        self._reference = reference
        self._engine = engine
        self._outputs = [spec.name for spec in reference.signature.outputs]
        self._said: set[tuple[str, str, str]] = set()
        self._last: Feeds | None = None

    @property
    def sound(self) -> bool:
        """False once the engine failed in a way that makes more feeds pointless."""
        return not any(finding.code in ("engine-failed", "missing-output") for finding in self.findings)

    def run_reference(self, feeds: Feeds, where: str) -> Outputs:
        """Raises ModelError."""
        try:
            outputs = self._reference.infer({spec.name: feeds[spec.name] for spec in self._reference.signature.inputs})
        except EdgetoolError:
            raise
        except Exception as error:  # plugin boundary: a runner may raise anything
            raise ModelError(
                "reference-failed",
                f"the float model does not run: {_first_line(error)}",
                where=where,
                hint="look at the sample, and at the shapes that the model was exported for",
            ) from error
        # Copies, because a runner may fill its buffers again.
        return {name: outputs[name].copy() for name in self._outputs}

    def run_engine(self, feeds: Feeds, where: str) -> Outputs | None:
        """The outputs that the engine gives, or None and a finding."""
        own = {spec.name: feeds[spec.name] for spec in self._engine.signature.inputs if spec.name in feeds}
        try:
            outputs = self._engine.infer(own)
        except (DeviceError, HostError, InterruptedByUserError):
            raise
        except Exception as error:  # noqa: BLE001 # plugin boundary: a runner may raise anything
            self._fail("engine-failed", f"the engine does not run: {_first_line(error)}", where)
            return None
        self._last = feeds
        return {name: outputs[name].copy() for name in self._outputs if name in outputs}

    def compare(
        self, feeds: Feeds, expected: Outputs, sums: dict[str, DifferenceSum], *, group: str, where: str, values: bool
    ) -> Outputs | None:
        """Run the engine and add up how far it is from `expected`.

        Args:
            feeds: what to run.
            expected: the reference's outputs.
            sums: by output; missing ones are made.
            group: feeds of one group repeat a finding only once.
            where: the feed, for messages.
            values: False when these feeds say nothing about sound numbers, only about shapes and types.

        Returns:
            The engine's outputs, or None when it failed.
        """
        found = self.run_engine(feeds, where)
        if found is None:
            return None
        for name, wanted in expected.items():
            place = f"{where}: {name}"
            if name not in found:
                self._fail("missing-output", "the engine does not give this output", place, once=(name, group))
                continue
            array = found[name]
            if array.shape != wanted.shape:
                message = f"the engine gives {list(array.shape)}, the reference {list(wanted.shape)}"
                self._fail("wrong-shape", message, place, once=(name, group))
                continue
            if array.dtype != wanted.dtype:
                message = f"the engine gives {array.dtype}, the reference {wanted.dtype}"
                self._fail("wrong-dtype", message, place, once=(name, ""))
            if values and (bad := _spoilt(wanted, array)):
                message = f"{bad} of {array.size} values are NaN or infinite where the reference's are not"
                self._fail("not-finite", message, place, once=(name, group))
            sums.setdefault(name, DifferenceSum(name)).add(wanted, array)
        return found

    def repeat_difference(self, feeds: Feeds | None) -> float:
        """Largest difference between two runs on the same feed; on the latest one where none is given.

        The first run follows another feed, the second follows itself: state that leaks shows, too.
        """
        feeds = self._last if feeds is None else feeds
        if feeds is None:
            return 0.0
        where = "the same feed twice"
        first, second = self.run_engine(feeds, where), self.run_engine(feeds, where)
        if first is None or second is None:
            return 0.0
        largest = 0.0
        for name, array in first.items():
            if name not in second or second[name].shape != array.shape:
                self._fail("nondeterministic", "two runs on the same feed give different shapes", name)
                continue
            found = difference(name, array, second[name])
            largest = max(largest, found.max_abs)
            if not SAME.accepts(found):
                self._fail("nondeterministic", f"two runs on the same feed differ by up to {found.max_abs:.3g}", name)
        return largest

    def _fail(self, code: str, message: str, where: str, *, once: tuple[str, str] | None = None) -> None:
        key = (code, *(once or (where, "")))
        if key not in self._said:
            self._said.add(key)
            self.findings.append(Finding("failure", code, message, where))


def _spoilt(reference: Array, engine: Array) -> int:
    """How many values the engine turned into NaN or infinity."""
    import numpy as np

    if engine.dtype.kind not in "fV" or reference.dtype.kind not in "fV":
        return 0
    return int((~np.isfinite(engine) & np.isfinite(reference)).sum())


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
