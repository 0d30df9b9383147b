"""`simplify`: fold constants, remove dead nodes, and fuse what every runtime fuses (Conv with BatchNormalization, ...).

The work is done by `edgetool.graph.fold`; why it is built on onnxscript's optimizer is said there.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgetool.artifact import Model
from edgetool.context import PassContext
from edgetool.passes.base import Pass, PassOptions, PassResult

if TYPE_CHECKING:
    import onnx_ir as ir


class SimplifyOptions(PassOptions):
    """There is nothing to choose: what it does is right for every runtime."""


class Simplify(Pass[SimplifyOptions]):
    """A smaller graph that computes the same."""

    Options = SimplifyOptions
    revision = 1

    def apply(self, model: Model, workdir: Path, context: PassContext) -> PassResult:
        """Simplify. A graph that the optimizer cannot handle passes unchanged, with a note."""
        return _at_once(model, workdir) or self._with_optimizer(model, workdir, context)

    def _with_optimizer(self, model: Model, workdir: Path, context: PassContext) -> PassResult:
        import onnx_ir.passes

        from edgetool.graph.fold import fold
        from edgetool.graph.streaming import load_ir, save_ir
        from edgetool_passes.declared import declare_output_shapes, output_shapes
        from edgetool_passes.fingerprint import fingerprint

        graph = load_ir(model.path)
        before, nodes_before = fingerprint(graph), count_nodes(graph)
        shapes = output_shapes(graph)
        try:
            fold(graph)
        except onnx_ir.passes.PassError as error:
            context.note(f"simplify left the model as it is: {_cause(error)}")
            return PassResult(model, changed=False, facts={"failed": _cause(error)})
        declare_output_shapes(graph, shapes)
        facts = {"nodes_before": nodes_before, "nodes_after": count_nodes(graph)}
        if fingerprint(graph) == before:
            return PassResult(model, changed=False, facts=facts)
        target = workdir / "model.onnx"
        save_ir(graph, target)
        return PassResult(Model(target, model.signature), changed=True, facts=facts)


def _at_once(model: Model, workdir: Path) -> PassResult | None:
    """The result where no optimizer is needed to get it."""
    from edgetool.graph import load, save
    from edgetool.graph.external_data import has_external_data
    from edgetool_passes.plain import simplify_plain

    proto = load(model.path, weights=False)
    before = len(proto.graph.node)
    if has_external_data(proto) or not simplify_plain(proto):
        return None
    after = len(proto.graph.node)
    facts = {"nodes_before": before, "nodes_after": after}
    if before == after:
        return PassResult(model, changed=False, facts=facts)
    target = workdir / "model.onnx"
    save(proto, target)
    return PassResult(Model(target, model.signature), changed=True, facts=facts)


def count_nodes(model: ir.Model) -> int:
    """Nodes of the graph and of its subgraphs."""
    return sum(1 for _ in model.graph.all_nodes())


def _cause(error: BaseException) -> str:
    """The innermost reason, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split()) or type(error).__name__
