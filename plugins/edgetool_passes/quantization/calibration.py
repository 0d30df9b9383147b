"""Runs a float model on the user's samples and shows chosen tensors to their watches, one feed at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetool.context import CalibrationSet, PassContext
from edgetool.disk import scratch_folder
from edgetool.errors import ConfigError, ModelError
from edgetool_passes.quantization.histogram import Watch
from edgetool_passes.quantization.shelf import Shelf

if TYPE_CHECKING:
    import numpy as np
    import onnx

    from edgetool.runner import Feeds


class Calibration:
    """The user's samples and the runtime to run them in.

    The first run also judges the samples. Nothing of a sample is kept once the next one comes. What the watches of a
    run saw is, where the context outlives the pass, and then no other pass has to run the same network again.

    Args:
        context: lends the reference runtime and the samples.
        where: the model's file, for messages.

    Raises:
        ConfigError: `calibration-missing` or `calibration-empty`.
    """

    def __init__(self, context: PassContext, *, where: Path) -> None:
        self._context = context
        self._where = str(where)
        self._judged = False
        self.data = samples_of(
            context,
            where,
            why="static quantization needs samples to learn the ranges of activations from",
            without="use the pass `quantize-dynamic`",
        )

    def run(self, model: onnx.ModelProto, watches: Mapping[str, Watch], *, purpose: str) -> None:
        """Show every sample to the watches.

        Args:
            model: float; not modified.
            watches: by name of a float32 tensor of the main graph: an input or a node's output.
            purpose: what the progress bar says.

        Raises:
            ConfigError: `calibration-not-finite`: a sample holds NaN or infinity.
            ModelError: `non-finite-activation`: samples are fine, yet a watched tensor is not.
        """
        from edgetool.graph.save import save

        shelf = Shelf(self._context.kept, model, self.data.digest) if self._context.kept is not None else None
        if shelf is not None and shelf.fill(watches):
            return
        judge = _Judge()
        done = 0
        with scratch_folder("edgetool-calibration") as folder:
            watched = folder / "watched.onnx"
            save(_with_outputs(model, watches), watched)
            with _named_after(self._where, watched), self._context.open_reference(watched) as runner:
                for feeds in self.data:
                    if not self._judged:
                        judge.see(feeds, number=done)
                    self._show(watches, {**feeds, **runner.infer(feeds)})
                    done += 1
                    self._context.progress(done, self.data.count, purpose)
        if done == 0:
            raise _empty(self._where)
        if not self._judged:
            for warning in judge.warnings():
                self._context.note(warning)
        self._judged = True
        if shelf is not None:
            shelf.keep(watches)

    def _show(self, watches: Mapping[str, Watch], values: Feeds) -> None:
        for name, watch in watches.items():
            array = values[name]
            if array.size == 0:
                continue
            if not _finite(array):
                raise ModelError(
                    "non-finite-activation",
                    f"{name!r} becomes NaN or infinite on calibration data that is finite",
                    where=self._where,
                    hint="check that the samples are preprocessed as in training; then look for a division or "
                    "logarithm in front of this tensor",
                )
            watch.see(array)


def _finite(array: np.ndarray[Any, Any]) -> bool:
    """Whether no value of a float32 array is NaN or infinite."""
    import numpy as np

    flat = array.reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):
        # One walk without a second array. Large values overflow: only then each is looked at.
        return bool(np.isfinite(flat @ flat) or np.isfinite(flat).all())


@contextmanager
def _named_after(where: str, copy: Path) -> Iterator[None]:
    """Errors of the runtime name the user's model, not our copy of it."""
    try:
        yield
    except (ConfigError, ModelError) as error:
        if error.where is None or str(copy) not in error.where:
            raise
        told = error.where.replace(str(copy), where)
        raise type(error)(error.code, error.message, where=told, hint=error.hint) from error


def samples_of(context: PassContext, where: Path, *, why: str, without: str) -> CalibrationSet:
    """The user's samples, which there must be.

    Args:
        context: holds them.
        where: the model's file, for messages.
        why: what they are needed for, as a sentence.
        without: what to do instead when there is no data.

    Raises:
        ConfigError: `calibration-missing` or `calibration-empty`.
    """
    if context.calibration is None:
        raise ConfigError(
            "calibration-missing",
            why,
            where=str(where),
            hint='Set `calibration = "folder or module:function"` in [data]; 50 to 200 real samples are enough. '
            f"without data, {without}",
        )
    if context.calibration.count == 0:
        raise _empty(str(where))
    return context.calibration


def _empty(where: str) -> ConfigError:
    return ConfigError(
        "calibration-empty",
        "the calibration data holds no samples",
        where=where,
        hint="point `calibration` in [data] at real samples; 50 to 200 are enough",
    )


class _Judge:
    """Looks for samples that teach nothing."""

    def __init__(self) -> None:
        self._count = 0
        self._first: dict[str, np.ndarray[Any, Any]] = {}
        self._all_alike = True
        self._flat: set[str] = set()

    def see(self, feeds: Feeds, *, number: int) -> None:
        import numpy as np

        for name, array in feeds.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise ConfigError(
                    "calibration-not-finite",
                    f"calibration sample {number} holds NaN or infinity in {name!r}",
                    hint="remove or repair the sample; check divisions in the preprocessing",
                )
        flat = {
            name for name, array in feeds.items() if array.dtype.kind == "f" and array.size > 1 and np.ptp(array) == 0
        }
        self._flat = flat if self._count == 0 else self._flat & flat
        if self._count == 0:
            self._first = {name: array.copy() for name, array in feeds.items()}
        elif self._all_alike:
            self._all_alike = all(np.array_equal(array, self._first[name]) for name, array in feeds.items())
        self._count += 1

    def warnings(self) -> list[str]:
        found = [f"calibration input {name!r} has one and the same value everywhere" for name in sorted(self._flat)]
        if self._count > 1 and self._all_alike:
            found.append(f"all {self._count} calibration feeds are the same")
        batch = max((array.shape[0] for array in self._first.values() if array.ndim), default=1)
        if self._count == 1 and batch == 1:
            found.append("one calibration sample only: ranges of activations will be too narrow for other inputs")
        return found


def _with_outputs(model: onnx.ModelProto, watches: Mapping[str, Watch]) -> onnx.ModelProto:
    """A copy that also hands out the watched tensors, as far as the model's inputs and outputs do not hold them."""
    import onnx
    import onnx.helper

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    known = {value.name for value in (*model.graph.input, *model.graph.output)}
    for name in watches:
        if name not in known:
            copy.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return copy
