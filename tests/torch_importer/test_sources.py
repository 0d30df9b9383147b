"""Every kind of source opens as what it is, and what would run code, or cannot be right, is refused with a reason."""

from __future__ import annotations

import shutil
import sys

import pytest

from edgetool.errors import ConfigError, EdgetoolError, ModelError
from tests.torch_importer.conftest import ROWS

torch = pytest.importorskip("torch")
nn = torch.nn
DYNAMIC = torch.export.Dim.DYNAMIC

BATCH = {"batch": (1, 1, 8)}


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x):
        return self.linear(x).relu()


class Three(nn.Module):
    def forward(self, x):
        return x + 1 if x.shape[0] == 3 else x * 2


class Nested(nn.Module):
    def forward(self, x, state, *, scale=None):
        h, c = state
        return {"y": x + h, "state": (c * 2, x if scale is None else x * scale)}


class Branching(nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x + 1
        return x - 1


def save(bench, module, *args, name="net.pt2", **options) -> None:
    torch.export.save(torch.export.export(module.eval(), args, **options), bench.root / name)


def refusal(bench, text, *, inputs=ROWS, dims=BATCH, **more) -> EdgetoolError:
    with pytest.raises(EdgetoolError) as caught:
        bench.convert(text, bench.request(inputs, dims), **more)
    return caught.value


def test_pt2_needs_no_declaration(bench) -> None:
    save(bench, Tiny(), torch.randn(2, 4), dynamic_shapes={"x": {0: DYNAMIC(min=1, max=8)}})
    result = bench.convert("net.pt2", bench.request({}))

    assert result.facts["route"] == "exported-program"
    assert [str(spec) for spec in result.model.signature.inputs] == ["x: float32[batch, 4]"]
    assert [str(spec) for spec in result.model.signature.outputs] == ["output: float32[batch, 3]"]
    assert (result.model.signature.dims["batch"].min, result.model.signature.dims["batch"].max) == (1, 8)


def test_pt2_takes_declared_names(bench) -> None:
    save(bench, Tiny(), torch.randn(2, 4), dynamic_shapes={"x": {0: DYNAMIC}})
    request = bench.request({"features": ("float32", ["n", 4])}, {"n": (1, 4, 32)}, outputs=("scores",))
    result = bench.convert("net.pt2", request)

    assert str(result.model.signature.inputs[0]) == "features: float32[n, 4]"
    assert str(result.model.signature.outputs[0]) == "scores: float32[n, 3]"


def test_pt2_with_nested_arguments(bench) -> None:
    rows = [torch.randn(2, 4) for _ in range(4)]
    shapes = {"x": {0: DYNAMIC}, "state": ({0: DYNAMIC}, {0: DYNAMIC}), "scale": {0: DYNAMIC}}
    save(bench, Nested(), rows[0], (rows[1], rows[2]), kwargs={"scale": rows[3]}, dynamic_shapes=shapes)
    result = bench.convert("net.pt2", bench.request({}))

    assert [spec.name for spec in result.model.signature.inputs] == ["x", "state.0", "state.1", "scale"]
    assert [spec.name for spec in result.model.signature.outputs] == ["y", "state_0", "state_1"]


def test_pt2_that_was_exported_too_narrow(bench) -> None:
    save(bench, Tiny(), torch.randn(2, 4))
    fixed = refusal(bench, "net.pt2")
    save(bench, Tiny(), torch.randn(2, 4), dynamic_shapes={"x": {0: DYNAMIC(min=1, max=4)}})
    limited = refusal(bench, "net.pt2")

    assert {fixed.code, limited.code} == {"narrow-exported-program"}
    assert "'batch' was fixed at 2 when net.pt2 was exported; declared is 1..8" in fixed.message
    assert "'batch' was limited to 1..4" in limited.message


def test_pt2_is_held_to_its_own_assumptions(bench) -> None:
    """The network is not there any more, so nobody can look up what it does at 3."""
    save(bench, Three(), torch.randn(2, 4), dynamic_shapes={"x": {0: DYNAMIC}})
    error = refusal(bench, "net.pt2")

    assert error.code == "narrow-exported-program"
    assert "sizes with batch != 3, which is not so at batch=3" in error.message


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"x": ("float32", ["batch", 5])}, "size 5 is declared where net.pt2 has 4"),
        ({"x": ("int64", ["batch", 4])}, "int64[batch, 4] is"),
        (
            {"x": ("float32", ["batch", 4]), "y": ("float32", ["batch", 4])},
            "the inputs of net.pt2 are x, declared are x, y",
        ),
    ],
)
def test_pt2_declared_otherwise_than_it_is(bench, inputs, message) -> None:
    save(bench, Tiny(), torch.randn(2, 4), dynamic_shapes={"x": {0: DYNAMIC}})
    error = refusal(bench, "net.pt2", inputs=inputs)

    assert (error.code, error.exit_code) == ("inputs-mismatch", 2)
    assert message in error.message


def test_scripted_control_flow_survives(bench, infer) -> None:
    import numpy as np

    torch.jit.save(torch.jit.script(Branching()), bench.root / "net.pt")
    result = bench.convert("net.pt", bench.request(ROWS, BATCH))

    for value in (1.0, -1.0):
        x = np.full((3, 4), value, np.float32)
        np.testing.assert_array_equal(infer(result, {"x": x})["output"], x + np.sign(value))


def test_traced_recurrent_layers_stay_dynamic(bench) -> None:
    torch.jit.save(torch.jit.trace(nn.GRU(4, 3, batch_first=True), torch.randn(2, 9, 4)), bench.root / "net.ts")
    request = bench.request({"input": ("float32", ["batch", "time", 4])}, {"batch": (1, 1, 4), "time": (7, 9, 20)})
    result = bench.convert("net.ts", request)

    assert result.facts["route"] == "torchscript"
    assert str(result.model.signature.outputs[0]) == "output_0: float32[batch, time, 3]"


def test_a_pickled_network_needs_trust(bench) -> None:
    torch.save(nn.Sequential(nn.Linear(4, 3)), bench.root / "net.pt")
    inputs = {"input": ("float32", ["batch", 4])}
    error = refusal(bench, "net.pt", inputs=inputs)

    assert (error.code, error.exit_code) == ("untrusted-pickle", 3)
    assert "--trust-source" in error.hint
    result = bench.convert("net.pt", bench.request(inputs, BATCH), trusted=True)
    assert str(result.model.signature.outputs[0]) == "output: float32[batch, 3]"


def test_a_pickle_is_not_loaded_to_find_out_what_it_is(bench) -> None:
    class Trap:
        def __reduce__(self):
            return open, (str(bench.root / "sprung"), "w")

    for name, zipped in (("new.pt2", True), ("old.ts", False)):
        torch.save({"weight": Trap()}, bench.root / name, _use_new_zipfile_serialization=zipped)
        assert refusal(bench, name).code == "untrusted-pickle"
    bench.write("def build(): return nn.Linear(4, 3)")
    assert refusal(bench, "nets:build", weights="new.pt2").code == "untrusted-pickle"
    assert not (bench.root / "sprung").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_weights_alone_are_no_network(bench, zipped) -> None:
    torch.save(Tiny().state_dict(), bench.root / "net.pt", _use_new_zipfile_serialization=zipped)
    error = refusal(bench, "net.pt")

    assert error.code == "weights-without-network"
    assert "weights = 'net.pt'" in error.hint


def test_safetensors_are_known_under_any_name(bench) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    safetensors.save_file(Tiny().state_dict(), bench.root / "net.pt2")

    assert refusal(bench, "net.pt2").code == "weights-without-network"


@pytest.mark.parametrize("content", [b"", b"hello world " * 99, b"\x80\x02}", b"PK\x03\x04" + b"\0" * 200])
def test_garbage(bench, content) -> None:
    (bench.root / "net.pt").write_bytes(content)

    assert refusal(bench, "net.pt").code == "unreadable-torch-file"


def test_a_truncated_archive(bench) -> None:
    save(bench, Tiny(), torch.randn(2, 4))
    whole = (bench.root / "net.pt2").read_bytes()
    (bench.root / "net.pt2").write_bytes(whole[: len(whole) // 2])

    assert refusal(bench, "net.pt2").code == "unreadable-torch-file"


def test_an_archive_whose_program_is_damaged(bench) -> None:
    save(bench, Tiny(), torch.randn(2, 4))
    bench.rewrite("net.pt2", {"models/model.json": lambda content: content[: len(content) // 2]})

    assert refusal(bench, "net.pt2").code == "unreadable-torch-file"


FACTORY = """
class Net(nn.Module):
    def __init__(self, width=3):
        super().__init__()
        self.linear = nn.Linear(4, width)

    def forward(self, x):
        return self.linear(x).relu()

def build():
    return Net()

def wider():
    return Net(5)

def deeper():
    return nn.Sequential(Net(), nn.Linear(3, 2))

def broken():
    return Net().missing

def number():
    return 3

def kind():
    return Net
"""


@pytest.mark.parametrize("kind", ["safetensors", "state dict", "old state dict", "checkpoint"])
def test_weights_of_a_factory(bench, infer, kind) -> None:
    import numpy as np

    bench.write(FACTORY)
    net = Tiny()
    if kind == "safetensors":
        pytest.importorskip("safetensors.torch").save_file(net.state_dict(), bench.root / "w")
    elif kind == "checkpoint":
        torch.save({"epoch": 3, "model_state": net.state_dict()}, bench.root / "w")
    else:
        torch.save(net.state_dict(), bench.root / "w", _use_new_zipfile_serialization=kind == "state dict")
    result = bench.convert("nets:build", bench.request(ROWS, BATCH), weights="w")

    x = np.ones((2, 4), np.float32)
    np.testing.assert_allclose(infer(result, {"x": x})["output"], net(torch.ones(2, 4)).detach(), rtol=1e-6)


def test_weights_that_do_not_fit(bench) -> None:
    bench.write(FACTORY)
    torch.save(Tiny().state_dict(), bench.root / "w.pt")

    assert "linear.weight is [3, 4], the network has [5, 4]" in refusal(bench, "nets:wider", weights="w.pt").message
    deeper = refusal(bench, "nets:deeper", weights="w.pt")
    assert deeper.code == "weights-mismatch"
    assert "missing 0.linear.weight, 0.linear.bias, 1.weight, 1.bias" in deeper.message
    assert "unexpected linear.weight (did you mean 0.linear.weight?)" in deeper.message


def test_weights_behind_a_prefix(bench) -> None:
    bench.write(FACTORY)
    torch.save({f"module.{name}": value for name, value in Tiny().state_dict().items()}, bench.root / "w.pt")

    assert "every key starts with 'module.'" in refusal(bench, "nets:build", weights="w.pt").hint


def test_weights_that_are_none(bench) -> None:
    bench.write(FACTORY)
    (bench.root / "text.pt").write_text("no weights at all")
    torch.save({"epoch": 3}, bench.root / "epoch.pt")

    assert refusal(bench, "nets:build", weights="text.pt").code == "unreadable-torch-file"
    assert refusal(bench, "nets:build", weights="epoch.pt").code == "weights-unreadable"


def test_weights_for_a_source_that_has_its_own(bench) -> None:
    save(bench, Tiny(), torch.randn(2, 4))
    error = refusal(bench, "net.pt2", weights="net.pt2")

    assert isinstance(error, ConfigError)
    assert error.code == "weights-without-factory"


def test_factories_that_fail(bench) -> None:
    bench.write(FACTORY)
    broken = refusal(bench, "nets:broken")
    assert "has no attribute 'missing'" in broken.message
    assert broken.where is not None
    assert "nets.py" in broken.where
    assert refusal(bench, "nets:number").code == "factory-without-module"
    assert "a class, not an instance" in refusal(bench, "nets:kind").message
    assert "'build'" in refusal(bench, "nets:buidl").hint


def test_a_user_module_leaves_no_trace(bench) -> None:
    bench.write(FACTORY)
    bench.write("WIDTH = 3\n", name="settings_of_net.py")
    bench.write("def build():\n    import settings_of_net\n    return nn.Linear(4, settings_of_net.WIDTH)\n")
    path, modules = list(sys.path), set(sys.modules)
    bench.convert("nets:build", bench.request({"input": ("float32", ["batch", 4])}, BATCH))

    assert sys.path == path
    assert not {"nets", "settings_of_net"} & (set(sys.modules) - modules)


def test_work_folder_holds_nothing_but_the_model(bench) -> None:
    bench.write(FACTORY)
    bench.convert("nets:build", bench.request(ROWS, BATCH))

    assert [path.name for path in (bench.root / "work1").iterdir()] == ["model.onnx"]


def test_a_copy_under_another_name_is_the_same(bench) -> None:
    save(bench, Tiny(), torch.randn(2, 4), dynamic_shapes={"x": {0: DYNAMIC}})
    shutil.copy(bench.root / "net.pt2", bench.root / "renamed.pt")

    assert bench.convert("renamed.pt", bench.request({})).facts["route"] == "exported-program"


def test_inputs_must_be_declared_where_the_source_has_none(bench) -> None:
    bench.write(FACTORY)
    error = refusal(bench, "nets:build", inputs={}, dims={})
    assert error.code == "inputs-undeclared"
    assert "[model.inputs.x]" in error.hint

    torch.jit.save(torch.jit.script(Branching()), bench.root / "net.pt")
    assert "takes x" in refusal(bench, "net.pt", inputs={}, dims={}).message


def test_a_dimension_without_a_range(bench) -> None:
    bench.write(FACTORY)
    assert refusal(bench, "nets:build", dims={}).code == "dim-without-range"


def test_an_element_type_that_does_not_exist_here(bench) -> None:
    bench.write(FACTORY)
    assert refusal(bench, "nets:build", inputs={"x": ("int4", ["batch", 4])}).code == "unknown-dtype"


def test_wrong_rank_and_dtype_are_told_with_the_networks_words(bench) -> None:
    bench.write(FACTORY)
    rank = refusal(bench, "nets:build", inputs={"x": ("float32", ["batch", 7])})
    dtype = refusal(bench, "nets:build", inputs={"x": ("int64", ["batch", 4])})

    assert isinstance(rank, ModelError)
    assert "cannot be multiplied" in rank.message
    assert rank.where == f"{bench.root / 'nets.py'}:11"
    assert "dtype" in dtype.message
