"""`triton`: a model repository with the engine, its `config.pbtxt`, and the golden inputs for warming up."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from edgetool.artifact import Facts
from edgetool.bundle.layout import MODEL_FOLDER
from edgetool.bundle.read import Bundle
from edgetool.exporters import ExportContext, Exporter, ExporterOptions
from edgetool.problem import Problem
from edgetool_firmware.names import safe_name
from edgetool_firmware.triton.model import Served, Tensor, refusals, served
from edgetool_firmware.triton.pbtxt import Message, Value, Word, text_of
from edgetool_firmware.triton.warmup import Sample, warmup_of

_CONFIG = "config.pbtxt"
_WARMUP = "warmup"
_KINDS = {"cpu": "KIND_CPU", "gpu": "KIND_GPU", "auto": "KIND_AUTO"}


class TritonOptions(ExporterOptions):
    """`triton`: how the server shall run the model."""

    name: str | None = Field(default=None, description="Of the model in the repository; the bundle's if unset.")
    model_version: int = Field(default=1, ge=1, description="Number of the version's folder.")
    max_batch_size: int | None = Field(
        default=None,
        ge=0,
        description="How many requests are stacked at most; unset: as many as the batch may have, and 0 where not all "
        "tensors begin with one symbolic size. 0: every request has its whole shape.",
    )
    dynamic_batching: bool = Field(default=True, description="Let the server stack requests that come one by one.")
    instances: int = Field(default=1, ge=1, description="Copies of the model that run at once.")
    device: Literal["cpu", "gpu", "auto"] | None = Field(
        default=None, description="Where they run; unset: TensorRT on the GPU, others on the CPU."
    )
    warmup: bool = Field(default=True, description="Run the golden inputs before the model is called ready.")
    parameters: dict[str, str] = Field(
        default_factory=dict, description="Further parameters of Triton's backend, such as `intra_op_thread_count`."
    )


class Triton(Exporter[TritonOptions]):
    """A folder for `tritonserver --model-repository`."""

    Options: ClassVar[type[TritonOptions]] = TritonOptions
    folder = "-triton"

    def check(self, bundle: Bundle) -> tuple[Problem, ...]:
        self._name(bundle)
        return refusals(bundle.manifest, max_batch_size=self.options.max_batch_size)

    def export(self, bundle: Bundle, destination: Path, context: ExportContext) -> Facts:
        network = served(bundle.manifest, max_batch_size=self.options.max_batch_size)
        samples = warmup_of(bundle, network) if self.options.warmup else ()
        model = destination / self._name(bundle)
        _copy_engine(bundle, model / str(self.options.model_version))
        if samples:
            (model / _WARMUP).mkdir()
            for index, sample in enumerate(samples):
                (model / _WARMUP / str(index)).write_bytes(sample.data)
        config = self._config(bundle, network, samples)
        (model / _CONFIG).write_text(text_of(config), encoding="utf-8")
        return {
            "name": model.name,
            "backend": network.backend,
            "max_batch_size": network.max_batch_size,
            "warmup": bool(samples),
        }

    def _name(self, bundle: Bundle) -> str:
        return safe_name(self.options.name or bundle.manifest.name, what="the model")

    def _config(self, bundle: Bundle, network: Served, samples: tuple[Sample, ...]) -> Message:
        return Message(tuple(self._fields(bundle, network, samples)))

    def _fields(self, bundle: Bundle, network: Served, samples: tuple[Sample, ...]) -> Iterator[tuple[str, Value]]:
        options = self.options
        device = options.device or ("gpu" if network.backend == "tensorrt" else "cpu")
        yield "name", self._name(bundle)
        yield "backend", network.backend
        yield "default_model_filename", bundle.engine.entry
        yield "max_batch_size", network.max_batch_size
        for tensor in network.inputs:
            yield "input", _tensor(tensor)
        for tensor in network.outputs:
            yield "output", _tensor(tensor)
        yield "instance_group", Message((("count", options.instances), ("kind", Word(_KINDS[device]))))
        if options.dynamic_batching and network.max_batch_size > 1:
            yield "dynamic_batching", Message(())
        for key, value in sorted(options.parameters.items()):
            yield "parameters", Message((("key", key), ("value", Message((("string_value", value),)))))
        for key, value in (("model_version", bundle.manifest.version), ("content_digest", bundle.content_digest)):
            yield "metric_tags", Message((("key", key), ("value", value)))
        if samples:
            yield "model_warmup", _warmup(samples)


def _copy_engine(bundle: Bundle, folder: Path) -> None:
    for record in bundle.manifest.files:
        if record.path.startswith(f"{MODEL_FOLDER}/"):
            path = folder / record.path.removeprefix(f"{MODEL_FOLDER}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle.path / record.path, path)


def _tensor(tensor: Tensor) -> Message:
    fields: list[tuple[str, Value]] = [
        ("name", tensor.name),
        ("data_type", Word(tensor.data_type)),
        ("dims", tensor.dims),
    ]
    if tensor.scalar:
        fields.append(("reshape", Message((("shape", ()),))))
    return Message(fields)


def _warmup(samples: tuple[Sample, ...]) -> Message:
    fields: list[tuple[str, Value]] = [("name", "golden"), ("batch_size", 1)]
    for index, sample in enumerate(samples):
        value = Message(
            (
                ("data_type", Word(sample.tensor.data_type)),
                ("dims", sample.dims),
                ("input_data_file", str(index)),
            )
        )
        fields.append(("inputs", Message((("key", sample.tensor.name), ("value", value)))))
    return Message(fields)
