"""All promises of a backend, kept with both of its options, and one of our own."""

from first_backend import NumpyBackend, NumpyOptions

from edgetool.context import BuildContext
from edgetool.testing import BackendConformance, foreign_operator, tiny_cnn, tiny_mlp


class TestNumpyBackend(BackendConformance):
    backend = NumpyBackend
    models = (tiny_mlp,)
    refused = (foreign_operator, tiny_cnn)


class TestHalfPrecision(TestNumpyBackend):
    options = {"store": "float16"}


def test_float16_weights_take_less_space(tmp_path):
    sizes = {}
    for store in ("float32", "float16"):
        folder = tmp_path / store
        folder.mkdir()
        backend = NumpyBackend(NumpyOptions(store=store))
        sizes[store] = backend.build(tiny_mlp(tmp_path), folder, BuildContext(threads=1)).path.stat().st_size
    assert sizes["float16"] < sizes["float32"]
