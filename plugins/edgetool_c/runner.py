"""An engine as the framework's Runner: compiled for its board, and run there."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetool.artifact import Engine
from edgetool.backends.feeds import checked_feeds
from edgetool.errors import ConfigError, DeviceError, IntegrityError
from edgetool.runner import Feeds, Runner
from edgetool.signature import Signature
from edgetool_c.image import link
from edgetool_c.options import COptions
from edgetool_c.process import ImageProcess

if TYPE_CHECKING:
    import numpy as np

_STACK_BYTES = 4


def open_engine(engine: Engine, options: COptions) -> Runner:
    """Compile the engine and start it.

    Raises:
        IntegrityError: `engine-incomplete`.
        DeviceError: the emulator is not here.
    """
    if not engine.path.is_file():
        raise IntegrityError(
            "engine-incomplete", "the engine's source is missing", where=str(engine.path), hint="build the target again"
        )
    return ImageRunner(engine.directory, engine.signature, options)


class ImageRunner(Runner):
    """Sends inputs to a running image and takes its outputs.

    Attributes:
        flash, static_ram: of the image, in bytes.
    """

    def __init__(self, directory: Path, signature: Signature, options: COptions) -> None:
        board = options.where
        self.signature = signature
        self._where = f"{directory.name} on {board.name}"
        self._stack = 0
        with tempfile.TemporaryDirectory(prefix="edgetool-link-") as folder:
            image = link(directory, Path(folder) / "serve.elf", options)
            self.flash, self.static_ram = image.flash, image.static_ram
            # What was loaded no longer needs its file.
            self._process: ImageProcess | None = ImageProcess(image.path, board, timeout=options.timeout)
            if board.machine is not None:
                self.elsewhere = f"{board.name}, emulated by QEMU"
                self.emulated = True
                self.infer(_zeros(signature))

    @property
    def stack(self) -> int:
        """Bytes of the deepest stack so far; 0 where it is not known."""
        return self._stack

    def infer(self, feeds: Feeds) -> dict[str, np.ndarray[Any, Any]]:
        """Run once.

        Raises:
            ConfigError: `wrong-feeds`, or `runner-closed`.
            DeviceError: the image crashed or hangs.
        """
        import numpy as np

        if self._process is None:
            raise ConfigError("runner-closed", "this runner was closed", where=self._where, hint="open it again")
        arrays = checked_feeds(self.signature, feeds, where=self._where)
        request = b"".join(arrays[spec.name].tobytes() for spec in self.signature.inputs)
        shapes = {spec.name: [int(str(dim)) for dim in spec.shape] for spec in self.signature.outputs}
        dtypes = {spec.name: np.dtype(spec.dtype) for spec in self.signature.outputs}
        sizes = {name: dtypes[name].itemsize * int(np.prod(shape)) for name, shape in shapes.items()}
        try:
            answer = self._process.exchange(request, sum(sizes.values()) + _STACK_BYTES)
        except DeviceError:
            self.close()
            raise
        self._stack = int.from_bytes(answer[-_STACK_BYTES:], "little")
        outputs, start = {}, 0
        for name, size in sizes.items():
            content = answer[start : start + size]
            outputs[name] = np.frombuffer(content, dtypes[name]).reshape(shapes[name]).copy()
            start += size
        return outputs

    def peak_memory(self) -> int | None:
        return self.static_ram + self._stack if self._stack else None

    def close(self) -> None:
        if self._process is not None:
            self._process.close()
        self._process = None


def _zeros(signature: Signature) -> Feeds:
    import numpy as np

    return {spec.name: np.zeros([int(str(dim)) for dim in spec.shape], spec.dtype) for spec in signature.inputs}
