"""A .pt2 archive that would run its author's code is refused, and none of it runs."""

from __future__ import annotations

import io
import json
import pickle

import pytest

from edgetool.errors import ModelError
from edgetool_torch.guards import is_plain_guard
from edgetool_torch.vetting import is_plain_expression, vet

torch = pytest.importorskip("torch")


@pytest.fixture
def archive(bench):
    class Net(torch.nn.Module):
        def forward(self, x):
            return torch.cat([x, x]).reshape(x.shape[0] * 2, 4)

    shapes = {"x": {0: torch.export.Dim.DYNAMIC}}
    torch.export.save(torch.export.export(Net(), (torch.randn(2, 4),), dynamic_shapes=shapes), bench.root / "net.pt2")
    bench.sprung = bench.root / "sprung"
    return bench


def refused(bench) -> ModelError:
    with pytest.raises(ModelError) as caught:
        bench.convert("net.pt2", bench.request({}))
    assert not bench.sprung.exists()
    return caught.value


def program(change):
    def rewrite(content: bytes) -> bytes:
        tree = json.loads(content)
        change(tree)
        return json.dumps(tree).encode()

    return {"models/model.json": rewrite}


def test_what_torch_saved_is_let_through(archive) -> None:
    vet(archive.root / "net.pt2")


def test_sample_inputs_that_are_a_pickle_bomb(archive) -> None:
    sprung = str(archive.sprung)

    class Trap:
        def __reduce__(self):
            return open, (sprung, "w")

    content = io.BytesIO()
    torch.save(Trap(), content)
    for bomb in (content.getvalue(), pickle.dumps(Trap())):
        archive.rewrite("net.pt2", {"data/sample_inputs/model.pt": lambda _, bomb=bomb: bomb})
        error = refused(archive)
        assert error.code == "unsafe-exported-program"
        assert "a pickle of more than tensors" in error.message


def test_a_bomb_under_another_spelling(archive) -> None:
    sprung = str(archive.sprung)

    class Trap:
        def __reduce__(self):
            return open, (sprung, "w")

    archive.rewrite("net.pt2", {"data/Sample_Inputs/model.pt": lambda _: pickle.dumps(Trap())})
    assert "two members under one name" in refused(archive).message


def test_weights_that_are_a_pickle_bomb(archive) -> None:
    sprung = str(archive.sprung)

    class Trap:
        def __reduce__(self):
            return open, (sprung, "w")

    entry = {"path_name": "tensor_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
    for folder, config in (("weights", "model_weights_config.json"), ("constants", "model_constants_config.json")):
        archive.rewrite(
            "net.pt2",
            {
                f"data/{folder}/{config}": lambda _: json.dumps({"config": {"w": entry}}).encode(),
                f"data/{folder}/tensor_0": lambda _: pickle.dumps(Trap()),
            },
        )
        assert refused(archive).code == "unsafe-exported-program"


def test_custom_objects(archive) -> None:
    entry = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
    config = json.dumps({"config": {"w": entry}}).encode()
    archive.rewrite("net.pt2", {"data/constants/model_constants_config.json": lambda _: config})

    assert "the pickled object opaque_obj_0" in refused(archive).message


def test_a_size_that_is_a_program(archive) -> None:
    def change(tree) -> None:
        sizes = tree["graph_module"]["graph"]["tensor_values"]["x"]["sizes"]
        sizes[0]["as_expr"]["expr_str"] = f"__import__('pathlib').Path({str(archive.sprung)!r}).touch()"

    archive.rewrite("net.pt2", program(change))
    assert "the size" in refused(archive).message


@pytest.mark.parametrize("target", ["torch.os.system", "torch.ops.load_library.x", "torch.hub.load", "_operator.call"])
def test_an_operator_that_is_a_way_out(archive, target) -> None:
    def change(tree) -> None:
        tree["graph_module"]["graph"]["nodes"][-1]["target"] = target

    archive.rewrite("net.pt2", program(change))
    assert f"the operator {target!r}" in refused(archive).message


def test_compiled_code(archive) -> None:
    archive.rewrite("net.pt2", {"data/aotinductor/model/model.so": lambda _: b"\x7fELF"})

    assert "compiled code" in refused(archive).message


def test_guards_that_are_a_program_never_run(archive) -> None:
    def change(tree) -> None:
        tree["guards_code"] = [f"open({str(archive.sprung)!r}, 'w')"]

    archive.rewrite("net.pt2", program(change))
    archive.convert("net.pt2", archive.request({}))

    assert not archive.sprung.exists()


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Symbol('s77', positive=True, integer=True)", True),
        ("Mul(Integer(2), Add(Symbol('s77', integer=True), Integer(-1)))", True),
        ("2*s77 + 1", True),
        ("__import__('os')", False),
        ("Symbol('x').__class__", False),
        ("exit()", False),
        ("eval(chr(95))", False),
        ("[x for x in ()]", False),
        ("(lambda: 0)()", False),
        ("Symbol('a b')", False),
        ("Symbol(", False),
    ],
)
def test_plain_expressions(text, plain) -> None:
    assert is_plain_expression(text) is plain


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("L['x'].size()[0] != 3", True),
        ("(4*L['state'][0].size()[1]) % (L['x'].size()[0] // 4) == 0", True),
        ("2 <= L['x'].size()[0] and not L['x'].size()[1] > Max(3, 4)", True),
        ("open('x', 'w')", False),
        ("L['x'].numpy()[0]", False),
        ("L['x'].size(open('x'))[0] == 1", False),
        ("x.size()[0] == 1", False),
        ("", False),
    ],
)
def test_plain_guards(text, plain) -> None:
    assert is_plain_guard(text) is plain
