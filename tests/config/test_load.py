"""What a right file becomes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgetool.config.load import load
from edgetool.errors import ConfigError
from edgetool.signature import DimRange, TensorSpec

FULL = """
    schema = 1

    [model]
    name = "net"
    version = "1.0.0"
    source = "models/net.pt2"
    [model.inputs.image]
    shape = ["batch", 3, 224, 224]
    [model.dims.batch]
    max = 8

    [data]
    calibration = "data/calib/"
    [data.preprocess]
    resize = 256
    crop = [224, 200]

    [recipes.int8]
    passes = [ { use = "simplify" }, { use = "quantize-static", per_channel = true } ]

    [targets.base]
    fallback = ["onnxruntime"]
    [targets.base.budget]
    size = "20MiB"
    max_drop = "1%"

    [targets.board]
    extends = "base"
    backend = "openvino"
    recipe = "int8"
    [targets.board.openvino]
    device = "CPU"
    [targets.board.budget]
    max_drop = 0.02
    latency_p99 = "12ms"

    [targets.ci]
    backend = "onnxruntime"
    stands_in_for = ["board"]
"""


def test_values_come_out_in_the_units_of_code(write) -> None:
    config = load(write(FULL))
    assert config.model is not None
    assert config.model.inputs["image"].spec("image") == TensorSpec("image", "float32", ("batch", 3, 224, 224))
    assert config.model.dims["batch"].range == DimRange(1, 1, 8)
    assert config.data.preprocess is not None
    assert config.data.preprocess.crop == (224, 200)
    assert [entry.use for entry in config.recipes["int8"]] == ["simplify", "quantize-static"]
    assert config.recipes["int8"][1].options == {"per_channel": True}


def test_a_target_is_laid_over_what_it_extends(write) -> None:
    board = load(write(FULL)).target("board")
    assert (board.backend, board.fallback, board.extends) == ("openvino", ("onnxruntime",), ("base",))
    assert board.budget.size == 20 * 2**20
    assert board.budget.max_drop == 0.02
    assert board.budget.latency_p99 == 0.012
    assert board.backend_options == {"device": "CPU"}
    assert board.options_of("onnxruntime") == {}


def test_a_target_without_backend_is_a_base(write) -> None:
    config = load(write(FULL))
    assert config.bases == ("base",)
    assert set(config.targets) == {"board", "ci"}
    with pytest.raises(ConfigError, match="only serves others") as caught:
        config.target("base")
    assert caught.value.code == "target-without-backend"


def test_unknown_target_suggests(write) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(FULL)).target("bord")
    assert caught.value.code == "unknown-target"
    assert caught.value.hint == "did you mean board?"


def test_every_value_knows_its_origin(write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(FULL)
    monkeypatch.chdir(path.parent)
    board = load(Path("targets.toml"), overrides=["targets.board.budget.memory=1GiB"]).target("board")
    assert str(board.origin("budget", "size")) == "targets.toml:24"
    assert str(board.origin("budget", "max_drop")) == "targets.toml:34"
    assert str(board.origin("budget", "memory")) == "--set targets.board.budget.memory"
    assert str(board.origin("unverified")) == "default"


def test_a_board_of_the_catalogue(write) -> None:
    text = 'schema = 1\n[targets.any]\nextends = "@generic/cpu"\n[targets.any.facts]\nmax_opset = 17\n'
    target = load(write(text)).target("any")
    assert target.backend == "onnxruntime"
    assert target.facts == {"weight_bits": 7, "max_opset": 17}
    assert str(target.origin("facts", "weight_bits")) == "@generic/cpu"
    assert target.origin("facts", "max_opset").line == 5


def test_lists_are_replaced_and_tables_merged(write) -> None:
    text = """
        schema = 1
        [targets.a]
        backend = "openvino"
        fallback = ["onnxruntime", "tvm"]
        [targets.a.openvino.device_properties]
        x = 1
        y = 2
        [targets.b]
        extends = "a"
        fallback = ["tvm"]
        [targets.b.openvino.device_properties]
        y = 3
    """
    target = load(write(text)).target("b")
    assert target.fallback == ("tvm",)
    assert target.backend_options == {"device_properties": {"x": 1, "y": 3}}


def test_includes_lie_below_the_file(write) -> None:
    write('schema = 1\n[targets.x]\nbackend = "far"\n[targets.x.budget]\nsize = "1MB"\n', "shared/far.toml")
    write('schema = 1\ninclude = ["far.toml"]\n[targets.x]\nrecipe = "r"\n[recipes.r]\n', "shared/boards.toml")
    main = write('schema = 1\ninclude = ["shared/boards.toml"]\n[targets.x.budget]\nsize = "2MB"\n')
    target = load(main).target("x")
    assert (target.backend, target.recipe, target.budget.size) == ("far", "r", 2_000_000)
    assert target.origin("backend").line == 3
    assert target.origin("backend").label.endswith("shared/far.toml")


@pytest.mark.parametrize(
    ("override", "path", "expected"),
    [
        ("targets.board.budget.size=10MiB", ("budget", "size"), 10 * 2**20),
        ('targets.board.budget.size = "10MiB"', ("budget", "size"), 10 * 2**20),
        ("targets.board.threads=4", ("threads",), 4),
        ("targets.board.openvino.device=GPU.0", ("openvino", "device"), "GPU.0"),
        ("targets.board.openvino.started=2024-01-01", ("openvino", "started"), "2024-01-01"),
        ("targets.board.fallback=[]", ("fallback",), []),
        ("targets.board.unverified=allow", ("unverified",), "allow"),
        ("recipes.int8.passes.1.per_channel=false", ("passes", 1, "per_channel"), False),
        ("targets.board.facts={vnni = true}", ("facts", "vnni"), True),
    ],
)
def test_set(write, override: str, path: tuple[str | int, ...], expected: object) -> None:
    found: object = load(write(FULL), overrides=[override]).target("board").to_json()
    for part in path:
        found = found[part]  # type: ignore[index]
    assert found == expected


def test_set_leaves_the_rest_alone(write) -> None:
    before = load(write(FULL)).target("board").to_json()
    after = load(write(FULL), overrides=["targets.board.budget.size=1B", "targets.ci.threads=1"]).target("board")
    assert {**after.to_json(), "budget": None} == {**before, "budget": None}


def test_a_table_of_a_backend_that_is_not_used_is_a_warning(write) -> None:
    text = 'schema = 1\n[targets.x]\nbackend = "onnxruntime"\n[targets.x.openvino]\ndevice = "CPU"\n'
    (warning,) = load(write(text), known_backends={"onnxruntime", "openvino"}).warnings
    assert warning.code == "unused-table"
    assert "built by onnxruntime" in warning.message


def test_an_inherited_table_of_another_backend_is_no_warning(write) -> None:
    text = """
        schema = 1
        [targets.a]
        backend = "openvino"
        openvino.device = "CPU"
        [targets.b]
        extends = "a"
        backend = "onnxruntime"
    """
    assert load(write(text)).warnings == ()


def test_facts_that_nobody_reads_and_unused_dimensions_are_warnings(write) -> None:
    text = """
        schema = 1
        [model.inputs.x]
        shape = ["batch", 3]
        [model.dims.bacth]
        max = 2
        [targets.x]
        backend = "onnxruntime"
        facts = { weight_bit = 7 }
    """
    config = load(write(text))
    assert config.target("x").facts == {"weight_bit": 7}, "a plugin of the user's may read it"
    dims, facts = config.warnings
    assert (dims.code, dims.hint) == ("unused-dimension", "did you mean batch?")
    assert (facts.code, facts.hint) == ("unknown-fact", "did you mean weight_bits?")


def test_importers_have_tables_in_model(write) -> None:
    text = 'schema = 1\n[model.torch]\nroute = "dynamo"\n'
    config = load(write(text), known_importers={"torch"})
    assert config.model is not None
    assert config.model.extra == {"torch": {"route": "dynamo"}}
    with pytest.raises(ConfigError, match="unknown key"):
        load(write(text))


def test_loading_imports_neither_numpy_nor_a_framework(write) -> None:
    code = (
        "import sys; from pathlib import Path; from edgetool.config.load import load; load(Path(sys.argv[1]));"
        "print(*sorted({'numpy', 'onnx', 'torch', 'onnxruntime', 'openvino', 'difflib', 'typer'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(write(FULL))], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
