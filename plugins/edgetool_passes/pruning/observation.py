"""Runs parts of models on the user's samples and shows what they compute, one feed at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from edgetool.context import CalibrationSet, PassContext
from edgetool.disk import scratch_folder
from edgetool.errors import ConfigError, ModelError
from edgetool.runner import Feeds
from edgetool_passes.pruning.parts import part_that_computes

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True, eq=False)
class Tap:
    """Tensors of a model to look at.

    Attributes:
        model: float; not modified.
        tensors: names of float32 tensors of the main graph.
    """

    model: onnx.ModelProto
    tensors: tuple[str, ...]


class Observation:
    """The user's samples and the runtime to run them in.

    Args:
        context: lends both.
        where: the model's file, for messages.
        limit: how many feeds to look at, at most.

    Raises:
        ConfigError: `calibration-missing` or `calibration-empty`.
    """

    def __init__(self, context: PassContext, *, where: Path, limit: int) -> None:
        self._context = context
        self._where = str(where)
        self._samples = _samples(context, self._where)
        self.count = min(limit, self._samples.count)
        if self.count == 1:
            context.note("one calibration feed only: what it does not show will be taken for unimportant")

    @property
    def digest(self) -> str:
        return self._samples.digest

    def look(
        self,
        taps: Sequence[Tap],
        see: Callable[[Sequence[Feeds]], None],
        *,
        purpose: str,
        feeds: int | None = None,
    ) -> None:
        """Call `see` for every feed with what each tap gives for it, name -> array.

        Only what the tensors need is computed.

        Args:
            taps: what to look at.
            see: gets one result for each tap.
            purpose: what the progress bar says.
            feeds: how many feeds to look at; all by default.

        Raises:
            ConfigError: `calibration-not-finite`: a sample holds NaN or infinity.
            ModelError: `non-finite-activation`: samples are fine, yet a tensor is not.
        """
        from edgetool.graph.save import save

        with scratch_folder("edgetool-pruning") as folder, ExitStack() as stack:
            runners = []
            for number, tap in enumerate(taps):
                path = folder / f"{number}.onnx"
                save(part_that_computes(tap.model, tap.tensors), path)
                runners.append(stack.enter_context(self._context.open_reference(path)))
            total = self.count if feeds is None else min(feeds, self.count)
            for done, sample in enumerate(islice(self._feeds(), total), start=1):
                seen = [
                    {name: values for name, values in {**sample, **runner.infer(sample)}.items() if name in tap.tensors}
                    for tap, runner in zip(taps, runners, strict=True)
                ]
                self._judge(seen)
                see(seen)
                self._context.progress(done, total, purpose)

    def _feeds(self) -> Iterator[Feeds]:
        import numpy as np

        for number, feeds in enumerate(islice(self._samples, self.count)):
            for name, values in feeds.items():
                if values.dtype.kind == "f" and not np.isfinite(values).all():
                    raise ConfigError(
                        "calibration-not-finite",
                        f"calibration sample {number} holds NaN or infinity in {name!r}",
                        where=self._where,
                        hint="remove or repair the sample; check divisions in the preprocessing",
                    )
            yield feeds

    def _judge(self, seen: Sequence[Feeds]) -> None:
        import numpy as np

        for values in seen:
            for name, array in values.items():
                if not np.isfinite(array).all():
                    raise ModelError(
                        "non-finite-activation",
                        f"{name!r} becomes NaN or infinite on calibration data that is finite",
                        where=self._where,
                        hint="check that the samples are preprocessed as in training; then look for a division or "
                        "logarithm in front of this tensor",
                    )


def _samples(context: PassContext, where: str) -> CalibrationSet:
    if context.calibration is None:
        raise ConfigError(
            "calibration-missing",
            "these options need samples to see what the network computes on real data",
            where=where,
            hint='Set `calibration = "folder or module:function"` in [data], or choose an importance that needs none',
        )
    if context.calibration.count == 0:
        raise ConfigError(
            "calibration-empty",
            "the calibration data holds no samples",
            where=where,
            hint="point `calibration` in [data] at real samples; 50 to 200 are enough",
        )
    return context.calibration
