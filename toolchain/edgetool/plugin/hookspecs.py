"""The hooks that a plugin can implement. All of them are called once, when names are first looked up.

Each returns a list of records; a generator would fail late and without its plugin's name.
"""

from __future__ import annotations

import pluggy

from edgetool.plugin.records import BackendInfo, ExporterInfo, FileInfo, ImporterInfo, PassInfo

hookspec = pluggy.HookspecMarker("edgetool")


@hookspec
def edgetool_importers() -> list[ImporterInfo]:  # type: ignore[empty-body] # pluggy never calls the spec
    """Importers: turn a source into a proven Model.

    Example:
        @hookimpl
        def edgetool_importers():
            return [ImporterInfo("tflite", "TensorFlow Lite files", "my_plugin:TFLite", suffixes=(".tflite",))]
    """


@hookspec
def edgetool_passes() -> list[PassInfo]:  # type: ignore[empty-body] # pluggy never calls the spec
    """Passes: Model -> Model.

    Example:
        @hookimpl
        def edgetool_passes():
            return [PassInfo("drop-dropout", "remove Dropout nodes", "my_plugin.passes:DropDropout")]
    """


@hookspec
def edgetool_backends() -> list[BackendInfo]:  # type: ignore[empty-body] # pluggy never calls the spec
    """Backends: Model -> Engine for a device.

    Example:
        @hookimpl
        def edgetool_backends():
            return [BackendInfo("tvm", "Apache TVM", "my_plugin.backend:Tvm", requires=("tvm",))]
    """


@hookspec
def edgetool_exporters() -> list[ExporterInfo]:  # type: ignore[empty-body] # pluggy never calls the spec
    """Exporters: a bundle -> a package for an update system.

    Example:
        @hookimpl
        def edgetool_exporters():
            return [ExporterInfo("ipk", "opkg packages", "my_plugin.ipk:Ipk")]
    """


@hookspec
def edgetool_files() -> list[FileInfo]:  # type: ignore[empty-body] # pluggy never calls the spec
    """Files: what `edgetool inspect` can describe besides ONNX and bundles.

    Example:
        @hookimpl
        def edgetool_files():
            return [FileInfo("tvm-module", "TVM modules", "my_plugin.module:describe", suffixes=(".tvm",))]
    """
