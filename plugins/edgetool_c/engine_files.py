"""Writes an engine: the network's C, the programs that test it on the host and on the board, and how to build both."""

from __future__ import annotations

import importlib.metadata
import shutil
import tempfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from edgetool.artifact import Engine, Facts, JsonValue, Lowering, Model
from edgetool.errors import ModelError
from edgetool.graph import load
from edgetool.graph.precision import declared_precision
from edgetool.signature import Signature, TensorSpec
from edgetool_c import image
from edgetool_c.arena import StaticSource, with_static_buffers
from edgetool_c.boards import BOARDS
from edgetool_c.form import lower
from edgetool_c.generator import Objection, generate
from edgetool_c.names import SafeModel, with_safe_names
from edgetool_c.options import COptions
from edgetool_c.programs import missing, version_of
from edgetool_c.runner import ImageRunner
from edgetool_c.verdict import TYPES, weight_bytes

if TYPE_CHECKING:
    import onnx

ENTRY = "model.c"

_COPIED = ("platform.h", "platform_host.c", "platform_cortex_m.c", "cortex_m.ld", "serve.c", "golden_test.c")


@dataclass(frozen=True, slots=True)
class _Tensor:
    """An input or output in C."""

    spec: TensorSpec
    name: str

    @property
    def type(self) -> str:
        return TYPES[self.spec.dtype]

    @property
    def dims(self) -> str:
        return "".join(f"[{dim}]" for dim in self.spec.shape) or "[1]"


def write_engine(model: Model, directory: Path, options: COptions) -> Engine:
    """Generate the C, and measure its image where the compiler and the emulator are here.

    Raises:
        ModelError: `refused-by-generator`, `generated-code-unknown`, `image-too-large`, or `c-not-compiled`.
    """
    proto = load(model.path)
    precision = declared_precision(proto)
    lowerings = lower(proto, options)
    safe = with_safe_names(proto)
    source = _generated(safe, options)
    _write_sources(directory, safe, model.signature, source, options)
    return Engine(
        backend="c",
        directory=directory,
        entry=ENTRY,
        precision=precision,
        signature=model.signature,
        lowerings=(*lowerings, *_arena_lowering(source)),
        facts={**_facts(proto, source, options), **_measured(directory, model.signature, options)},
    )


def _generated(safe: SafeModel, options: COptions) -> StaticSource:
    found = generate(safe.proto, options.function)
    if isinstance(found, Objection):
        raise ModelError(
            "refused-by-generator",
            f"the C generator refuses: {found.reason}",
            where=safe.labels.get(found.node or ""),
            hint="export with other operators, or keep this part outside of the model",
        )
    return with_static_buffers(found, options.function)


def _arena_lowering(source: StaticSource) -> tuple[Lowering, ...]:
    if source.unshared == source.arena:
        return ()
    summary = f"intermediate tensors share {source.arena} bytes by their lifetimes instead of taking {source.unshared}"
    return (Lowering("shared-arena", summary, 1),)


def _write_sources(
    directory: Path, safe: SafeModel, signature: Signature, source: StaticSource, options: COptions
) -> None:
    inputs = [_Tensor(spec, name) for spec, name in zip(signature.inputs, safe.inputs, strict=True)]
    outputs = [_Tensor(spec, name) for spec, name in zip(signature.outputs, safe.outputs, strict=True)]
    test = directory / "test"
    test.mkdir()
    firmware = resources.files("edgetool_c") / "firmware"
    for name in _COPIED:
        (test / name).write_text((firmware / name).read_text())
    (directory / "CMakeLists.txt").write_text((firmware / "CMakeLists.txt").read_text())
    (directory / "Makefile").write_text(_makefile((firmware / "Makefile").read_text(), options))
    (directory / ENTRY).write_text('#include "model.h"\n\n' + source.text)
    (directory / "model.h").write_text(_header(inputs, outputs, options.function))
    (test / "tensors.h").write_text(_tensors(inputs, outputs, options.function))
    (test / "golden.S").write_text(_golden(inputs, outputs))


def _makefile(template: str, options: COptions) -> str:
    boards = [board for board in BOARDS.values() if board.machine is not None]
    values = {
        "OPTIMIZE": options.optimize,
        "FLAGS": "\n".join(f"FLAGS_{board.name} := {' '.join(board.flags)}" for board in boards),
        "CFLAGS": " ".join(image.CFLAGS),
        "HOST_LDFLAGS": " ".join(image.HOST_LDFLAGS),
        "DEVICE_LDFLAGS": " ".join(image.DEVICE_LDFLAGS),
        "HOST_PLATFORM": image.HOST_PLATFORM,
        "DEVICE_PLATFORM": image.DEVICE_PLATFORM,
    }
    for key, value in values.items():
        template = template.replace(f"@{key}@", value)
    return template


def _header(inputs: list[_Tensor], outputs: list[_Tensor], function: str) -> str:
    parameters = [f"const {row.type} {row.name}{row.dims}" for row in inputs]
    parameters += [f"{row.type} {row.name}{row.dims}" for row in outputs]
    joined = ",\n    ".join(parameters)
    guard = f"{function.upper()}_H"
    return (
        f"#ifndef {guard}\n#define {guard}\n\n#include <stdbool.h>\n#include <stdint.h>\n\n"
        "/* Infers once. Its buffers are static: call it from one place at a time. */\n"
        f"void {function}(\n    {joined});\n\n#endif\n"
    )


def _tensors(inputs: list[_Tensor], outputs: list[_Tensor], function: str) -> str:
    def rows(tensors: list[_Tensor]) -> str:
        return " ".join(f"TENSOR({_kind(row)}, {row.type}, {row.name}, {row.dims})" for row in tensors)

    arguments = ", ".join(row.name for row in (*inputs, *outputs))
    return (
        "/* The network's tensors, for the programs beside this file. */\n"
        f"#define MODEL_INPUTS(TENSOR) {rows(inputs)}\n"
        f"#define MODEL_OUTPUTS(TENSOR) {rows(outputs)}\n"
        f"#define MODEL_RUN() {function}({arguments})\n"
    )


def _kind(row: _Tensor) -> str:
    return "FLOAT" if row.type in ("float", "double") else "INTEGER"


def _golden(inputs: list[_Tensor], outputs: list[_Tensor]) -> str:
    lines = [
        "/* The golden tensors as bytes of the image; the assembler finds them in the folder that -Wa,-I names. */"
    ]
    lines.append("    .section .rodata")
    for kind, tensors in (("input", inputs), ("output", outputs)):
        for index, row in enumerate(tensors):
            label = f"golden_{row.name}"
            lines += ["    .balign 8", f"    .global {label}", f"{label}:", f'    .incbin "case0-{kind}{index}.bin"']
    lines += ['    .section .note.GNU-stack,"",%progbits', ""]
    return "\n".join(lines)


def _facts(proto: onnx.ModelProto, source: StaticSource, options: COptions) -> Facts:
    board = options.where
    return {
        "runtime": "c",
        "runtime_version": importlib.metadata.version("emx-onnx-cgen"),
        "function": options.function,
        "board": board.name,
        "cpu": board.cpu,
        "flags": list(board.flags),
        "optimize": options.optimize,
        "arena": source.arena,
        "weights": weight_bytes(proto),
    }


def _measured(directory: Path, signature: Signature, options: COptions) -> dict[str, JsonValue]:
    """Flash and RAM of the linked image, as far as this machine can tell; nothing for the host."""
    board = options.where
    if board.machine is None or shutil.which(board.compiler) is None:
        return {}
    compiler = version_of(board.compiler)
    if missing(board) is not None:
        with tempfile.TemporaryDirectory(prefix="edgetool-image-") as folder:
            linked = image.link(directory, Path(folder) / "serve.elf", options)
        return {"compiler": compiler, "flash": linked.flash}
    with ImageRunner(directory, signature, options) as runner:
        ram = runner.static_ram + runner.stack
        return {"compiler": compiler, "flash": runner.flash, "stack": runner.stack, "ram": ram}
