"""The closed schema of targets.toml. Every key is documented here; docs and the JSON schema come from it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from edgetool.config.units import Bytes, Fraction, Seconds
from edgetool.signature import DimRange, TensorSpec

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
"""Names that end up in file names."""

SCHEMA_VERSION = 1


DType = Literal[
    "float32", "float16", "float64", "bfloat16", "float8_e4m3fn", "float8_e5m2",
    "int64", "int32", "int16", "int8", "int4", "uint64", "uint32", "uint16", "uint8", "uint4", "bool", "string",
]  # fmt: skip
"""numpy's names, and those of the element types that numpy lacks."""

Size = Annotated[int, Field(ge=1)]


def _as_pair(value: object) -> object:
    if not isinstance(value, list):
        return value
    if len(value) != 2:
        raise ValueError(f"wants a size, or [height, width], got {len(value)} values")
    return tuple(value)


Pair = Annotated[tuple[Size, Size], pydantic.BeforeValidator(_as_pair)]
"""`[height, width]`: TOML knows lists only."""


class Table(pydantic.BaseModel):
    """Base of all tables: unknown keys are errors, and nothing is converted (`"5"` is not 5, nan is no limit)."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True)


class OpenTable(Table):
    """A table that also holds tables of plugins, which are checked by the plugins' own schemas."""

    model_config = pydantic.ConfigDict(extra="allow")

    @property
    def extra(self) -> dict[str, Any]:
        """The keys that this schema does not know."""
        return dict(self.model_extra or {})


class InputTable(Table):
    """`[model.inputs.NAME]`: one input of the model."""

    shape: list[Size | str] = Field(description="One entry a dimension: a size, or the name of a `[model.dims]` range.")
    dtype: DType = Field(default="float32", description="Element type.")

    def spec(self, name: str) -> TensorSpec:
        return TensorSpec(name, self.dtype, tuple(self.shape))


class DimTable(Table):
    """`[model.dims.NAME]`: the sizes that a symbolic dimension may take."""

    min: int = Field(default=1, ge=1, description="Smallest size that must work.")
    opt: int | None = Field(default=None, ge=1, description="Size to tune for; `min` when left out.")
    max: int = Field(ge=1, description="Largest size that must work.")

    @pydantic.model_validator(mode="after")
    def _ordered(self) -> DimTable:
        if not self.min <= (self.opt or self.min) <= self.max:
            raise ValueError(f"wants min <= opt <= max, got min={self.min}, opt={self.opt}, max={self.max}")
        return self

    @property
    def range(self) -> DimRange:
        return DimRange(self.min, self.opt or self.min, self.max)


class ModelTable(OpenTable):
    """`[model]`: what is built when no source is named. A table named like an importer holds its options."""

    name: Name = Field(default="model", description="First part of the bundle's name.")
    version: Name = Field(default="0.0.0", description="Second part of the bundle's name.")
    source: str | None = Field(
        default=None, description="`.onnx`, `.pt2`, TorchScript, or `module:function`; relative to this file."
    )
    weights: str | None = Field(
        default=None, description="For `module:function`: safetensors or a weights-only state dict to load."
    )
    importer: str | None = Field(default=None, description="Importer's name, where the file's ending does not tell.")
    opset: int | None = Field(default=None, ge=9, description="ONNX opset to import to; if unset the importer chooses.")
    inputs: dict[str, InputTable] = Field(default_factory=dict, description="Inputs by name, in the model's order.")
    outputs: list[str] = Field(default_factory=list, description="Names of the outputs, in the model's order.")
    dims: dict[str, DimTable] = Field(default_factory=dict, description="Ranges of the symbolic dimensions.")
    license: str | None = Field(default=None, description="SPDX identifier of the model's licence, for the manifest.")


class PreprocessTable(Table):
    """`[data.preprocess]`: from an image file to the model's input; the contract that travels in the bundle."""

    resize: Size | Pair | None = Field(default=None, description="Shorter side in pixels, or [height, width].")
    crop: Size | Pair | None = Field(default=None, description="Centre crop: side, or [height, width].")
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = Field(
        default="bilinear", description="Resampling filter of `resize`."
    )
    color: Literal["rgb", "bgr", "gray"] = Field(default="rgb", description="Channel order after decoding.")
    scale: float = Field(default=1 / 255, description="Pixels (0..255) are multiplied by this first.")
    mean: list[float] = Field(default_factory=list, description="Then subtracted, one value a channel.")
    std: list[float] = Field(default_factory=list, description="Then divided by, one value a channel.")
    layout: Literal["NCHW", "NHWC"] = Field(default="NCHW", description="Order of the axes of the result.")


class DataTable(Table):
    """`[data]`: real samples to calibrate with and to judge by."""

    calibration: str | None = Field(
        default=None, description="Folder of npz, npy or images, one npz file, or `module:function`."
    )
    evaluation: str | None = Field(default=None, description="The same, with labels where the metric needs them.")
    metric: str | None = Field(default=None, description="`top1`, `top5`, ... or `module:function`; higher is better.")
    limit: int | None = Field(default=None, ge=1, description="Take at most this many calibration feeds.")
    preprocess: PreprocessTable | None = Field(default=None, description="How image files become inputs.")


class PassTable(OpenTable):
    """One entry of a recipe: `use` names the pass, the other keys are its options."""

    use: str = Field(description="Name of the pass; `edgetool plugins` lists them.")

    @property
    def options(self) -> dict[str, Any]:
        return self.extra


class RecipeTable(Table):
    """`[recipes.NAME]`: what is done to the model before the backend gets it."""

    passes: list[PassTable] = Field(default_factory=list, description="Applied in this order.")


class BudgetTable(Table):
    """`[targets.NAME.budget]`: limits that fail the build. Unset limits are not checked."""

    max_drop: Fraction | None = Field(default=None, description='Largest loss of the metric, absolute: "1%" or 0.01.')
    min_metric: Fraction | None = Field(default=None, description="Smallest acceptable metric of the engine.")
    min_cosine: float | None = Field(
        default=None, ge=-1, le=1, description="Smallest cosine to the reference, any output."
    )
    min_sqnr_db: float | None = Field(default=None, description="Smallest signal to noise ratio in dB, any output.")
    min_agreement: Fraction | None = Field(
        default=None, description="Smallest share of samples whose top-1 equals the reference's."
    )
    max_abs: float | None = Field(default=None, ge=0, description="Largest absolute error of any output.")
    latency_p50: Seconds | None = Field(default=None, description='Median latency, "12ms".')
    latency_p90: Seconds | None = Field(default=None, description="90th percentile of the latency.")
    latency_p99: Seconds | None = Field(default=None, description="99th percentile of the latency.")
    min_speedup: float | None = Field(default=None, gt=0, description="Latency of the reference over the engine's.")
    size: Bytes | None = Field(default=None, description='Size of the engine\'s files, "20MiB".')
    memory: Bytes | None = Field(default=None, description="Peak memory of the engine's process.")
    flash: Bytes | None = Field(
        default=None, description="Microcontrollers: code, constants and initial values of the linked image."
    )
    ram: Bytes | None = Field(
        default=None, description="Microcontrollers: all data of the linked image, and its deepest stack."
    )
    off_accelerator_nodes: int | None = Field(
        default=None, ge=0, description="How many nodes may run elsewhere than on the accelerator."
    )


class BuilderTable(Table):
    """`[targets.NAME.builder]`: where and within which limits the engine is built."""

    kind: str = Field(default="auto", description="The backend's builders by name; `auto` lets it choose.")
    host: str | None = Field(default=None, description="Device to build on, as ssh knows it.")
    python: str | None = Field(
        default=None, description="Another interpreter to run this target's steps in; it must have edgetool installed."
    )
    timeout: Seconds = Field(
        default=3600.0, json_schema_extra={"default": "1h"}, description="A step that takes longer is ended: exit 10."
    )
    memory: Bytes | None = Field(default=None, description="Address space limit of the child process.")


class FactsTable(OpenTable):
    """`[targets.NAME.facts]`: what is known of the hardware and its software. Usually inherited from the catalogue."""

    arch: str | None = Field(default=None, description="Processor architecture as `uname -m` says: x86_64, aarch64.")
    soc: str | None = Field(default=None, description="Chip, as its vendor names it.")
    isa: list[str] | None = Field(
        default=None, description="Instruction sets as /proc/cpuinfo spells them: avx2, avx512_vnni, asimddp."
    )
    vnni: bool | None = Field(
        default=None,
        description="Whether int8 dot products accumulate without saturating (VNNI, AMX, ARM's dot product).",
    )
    weight_bits: int | None = Field(
        default=None, ge=2, le=8, description="Bits of an int8 weight that are used; 7 keeps CPUs without VNNI exact."
    )
    max_opset: int | None = Field(default=None, ge=7, description="Newest ONNX opset that the runtime reads.")
    ram: Bytes | None = Field(
        default=None, description="Memory of the device, shared with the GPU where that has none."
    )
    vram: Bytes | None = Field(default=None, description="Memory of a graphics card, where it has its own.")
    flash: Bytes | None = Field(default=None, description="Memory of a microcontroller that programs stay in.")
    int8: bool | None = Field(default=None, description="Whether int8 is computed by instructions of its own.")
    fp16: bool | None = Field(default=None, description="Whether float16 is faster than float32.")
    fp8: bool | None = Field(default=None, description="Whether float8 is computed by instructions of its own.")
    sm: int | None = Field(default=None, ge=50, description="NVIDIA compute capability times ten: 87 for Orin.")
    jetpack: str | None = Field(default=None, description="JetPack release that the board runs.")
    tensorrt: str | None = Field(default=None, description="TensorRT version that the board's software brings.")
    cuda: str | None = Field(default=None, description="CUDA version that the board's software brings.")
    dla_cores: int | None = Field(default=None, ge=0, description="Deep learning accelerators beside the GPU.")
    fpga: str | None = Field(default=None, description="FPGA family, as the compiler for it names it.")


class PackageTable(OpenTable):
    """`[targets.NAME.package]`: what the bundle is wrapped into. A table named like a format holds its options."""

    formats: list[str] = Field(
        default_factory=list, description="Written by `edgetool build`, too; `edgetool plugins` lists the exporters."
    )
    key: str | None = Field(
        default=None,
        description="Private key that signs: a PEM file, `env:NAME`, or a `pkcs11:` URI. Never the key itself.",
    )
    certificate: str | None = Field(
        default=None, description="Certificate of the key, PEM; those of its issuers may follow in the same file."
    )

    @property
    def options(self) -> dict[str, Any]:
        """Raw tables of the exporters, by name."""
        return self.extra


class TargetTable(OpenTable):
    """`[targets.NAME]`: hardware, software, recipe and limits. A table named like a backend holds its options."""

    extends: str | None = Field(
        default=None, description="`@vendor/board` from the catalogue, or another target's name."
    )
    description: str | None = Field(default=None, description="One line for `edgetool targets list`.")
    backend: str | None = Field(default=None, description="Name of the backend; `edgetool plugins` lists them.")
    fallback: list[str] = Field(
        default_factory=list, description="Backends to try when the first is missing, refuses or crashes (exit 9)."
    )
    recipe: str | None = Field(default=None, description="Name of a recipe; none leaves the model as imported.")
    precision: Literal["auto"] | None = Field(
        default=None,
        description="In place of `recipe`: `auto` builds float32, float16 and int8, measures them and keeps the best.",
    )
    candidates: list[str] = Field(
        default_factory=list, description='With `precision = "auto"`: recipes to choose from instead.'
    )
    stands_in_for: list[str] = Field(
        default_factory=list, description="Targets that this one is built in place of in CI; proves nothing for them."
    )
    unverified: Literal["fail", "allow"] = Field(
        default="fail", description="`allow` turns exit 9 into 0; the report still says unverified."
    )
    threads: int | None = Field(default=None, ge=1, description="Threads of the engine; what the host allows if unset.")
    facts: FactsTable = Field(default_factory=FactsTable, description="What is known of the hardware and its software.")
    budget: BudgetTable = Field(default_factory=BudgetTable, description="Limits that fail the build.")
    builder: BuilderTable = Field(default_factory=BuilderTable, description="Where the engine is built.")
    package: PackageTable = Field(default_factory=PackageTable, description="Formats to wrap the bundle in.")


class TargetsFile(Table):
    """All of targets.toml."""

    schema_: Literal[1] = Field(alias="schema", description="Version of this format.")
    include: list[str] = Field(default_factory=list, description="Files whose targets and recipes are shared.")
    model: ModelTable | None = Field(default=None, description="What is built when no source is named.")
    data: DataTable = Field(default_factory=DataTable, description="Real samples.")
    recipes: dict[Name, RecipeTable] = Field(default_factory=dict, description="Named lists of passes.")
    targets: dict[Name, TargetTable] = Field(default_factory=dict, description="Named pieces of hardware.")
