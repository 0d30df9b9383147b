"""Data sources: what fits is read, hashed and counted; what does not is refused with its file and input named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgetool.config.schema import PreprocessTable
from edgetool.errors import ConfigError
from edgetool.signature import DimRange, Signature, TensorSpec
from edgetool.validate import data
from edgetool.validate.census import overlap
from edgetool.validate.data import open_dataset
from tests.validate.sample_folders import IMAGE, npz_folder, random_image, refusal

TEXT = Signature(
    inputs=(TensorSpec("ids", "int64", ("b", "s")), TensorSpec("mask", "int64", ("b", "s"))),
    outputs=(TensorSpec("out", "float32", ("b", 16)),),
    dims={"b": DimRange(1, 1, 4), "s": DimRange(1, 8, 16)},
)


def test_npz_folder_gives_batched_feeds_in_name_order_with_labels(tmp_path: Path) -> None:
    npz_folder(tmp_path)
    dataset = open_dataset("calib", root=tmp_path, signature=IMAGE)
    samples = list(dataset.samples())
    assert dataset.count == len(samples) == 4
    for i, sample in enumerate(samples):
        np.testing.assert_array_equal(sample.feeds["image"], random_image(i)[None])
        assert sample.label == i
    assert dataset.labelled


def test_the_digest_depends_on_bytes_shapes_names_and_labels_only(tmp_path: Path) -> None:
    def digest(name: str, image: np.ndarray, label: int = 1, key: str = "image") -> str:
        folder = tmp_path / name
        folder.mkdir()
        np.savez(folder / "a.npz", **{key: image, "label": label})
        signature = Signature((TensorSpec(key, "float32", ("batch", 3, 8, 8)),), IMAGE.outputs, IMAGE.dims)
        return open_dataset(name, root=tmp_path, signature=signature).digest

    image = random_image(0)
    base = digest("base", image)
    assert digest("fortran", np.asfortranarray(image)) == base
    assert digest("batched", image[None]) == base
    nudged = image.copy()
    nudged[2, 7, 7] = np.nextafter(nudged[2, 7, 7], np.float32(9))
    assert len({base, digest("nudged", nudged), digest("label", image, label=2), digest("key", image, key="x")}) == 4


def test_read_files_and_folders_name_what_the_samples_depend_on(tmp_path: Path) -> None:
    folder = npz_folder(tmp_path)
    dataset = open_dataset("calib", root=tmp_path, signature=IMAGE)
    assert set(dataset.read_files) == set(folder.glob("*.npz"))
    assert folder in dataset.read_folders


def test_large_sets_are_read_again_and_stay_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "KEEP_BYTES", 0)
    npz_folder(tmp_path)
    dataset = open_dataset("calib", root=tmp_path, signature=IMAGE)
    assert not dataset._kept
    for _ in range(2):
        assert [float(feeds["image"][0, 0, 0, 0]) for feeds in dataset] == [
            float(random_image(i)[0, 0, 0]) for i in range(4)
        ]


@pytest.mark.parametrize(("keep", "kept"), [(4 * 3 * 8 * 8 * 4, 4), (4 * 3 * 8 * 8 * 4 - 1, 3), (0, 0)])
def test_whoever_reads_often_may_keep_more(tmp_path: Path, keep: int, kept: int) -> None:
    """Four images of 3 x 8 x 8 in float32."""
    npz_folder(tmp_path)
    dataset = open_dataset("calib", root=tmp_path, signature=IMAGE, keep=keep)
    assert len(dataset._kept) == kept
    images = [random_image(i)[0, 0, 0] for i in range(4)]
    for _ in range(2):
        assert [float(feeds["image"][0, 0, 0, 0]) for feeds in dataset] == images
    assert len(list(dataset)) == 4


def test_feeds_cannot_be_written_to(tmp_path: Path) -> None:
    npz_folder(tmp_path)
    feeds = next(iter(open_dataset("calib", root=tmp_path, signature=IMAGE)))
    with pytest.raises(ValueError, match="read-only"):
        feeds["image"][0] = 0


def test_one_npz_counts_its_samples_on_the_first_axis(tmp_path: Path) -> None:
    ids = np.random.default_rng(0).integers(0, 99, size=(5, 8))
    np.savez(tmp_path / "eval.npz", ids=ids, mask=np.ones_like(ids), labels=np.arange(5.0))
    dataset = open_dataset("eval.npz", root=tmp_path, signature=TEXT)
    samples = list(dataset.samples())
    assert [sample.feeds["ids"].shape for sample in samples] == [(1, 8)] * 5
    assert [float(sample.label) for sample in samples] == [0, 1, 2, 3, 4]
    assert any("'mask' is 1 everywhere" in warning for warning in dataset.warnings)


def test_one_npy_serves_a_model_with_one_input(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.stack([random_image(i) for i in range(3)]))
    assert open_dataset("x.npy", root=tmp_path, signature=IMAGE).count == 3
    assert refusal(tmp_path, "x.npy", TEXT).code == "data-ambiguous-input"


def test_npy_folders_for_one_input_and_for_several(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    for i in range(3):
        np.save(tmp_path / "one" / f"{i}_x.npy", random_image(i))
    assert [sample.label for sample in open_dataset("one", root=tmp_path, signature=IMAGE).samples()] == [0, 1, 2]
    for name in ("ids", "mask"):
        (tmp_path / "two" / name).mkdir(parents=True)
        for i in range(2):
            np.save(tmp_path / "two" / name / f"{i}.npy", np.full((6 + i,), i + (name == "mask")))
    feeds = list(open_dataset("two", root=tmp_path, signature=TEXT))
    assert [feed["ids"].tolist() for feed in feeds] == [[[0] * 6], [[1] * 7]]
    assert [feed["mask"].tolist() for feed in feeds] == [[[1] * 6], [[2] * 7]]
    (tmp_path / "two" / "mask" / "1.npy").unlink()
    assert "mask/1.npy" in refusal(tmp_path, "two", TEXT).message


def test_images_take_labels_from_names_or_sub_folders(tmp_path: Path) -> None:
    for i, name in enumerate(("calib/7/a.png", "calib/7/b.png", "calib/12/c.bmp")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(tmp_path / name)
    dataset = open_dataset("calib", root=tmp_path, signature=IMAGE, preprocess=PreprocessTable())
    assert [sample.label for sample in dataset.samples()] == [12, 7, 7]
    assert refusal(tmp_path).code == "preprocess-missing"


def test_a_fixed_batch_joins_samples_and_says_what_is_left_over(tmp_path: Path) -> None:
    npz_folder(tmp_path, count=7)
    fixed = Signature((TensorSpec("image", "float32", (3, 3, 8, 8)),), IMAGE.outputs)
    dataset = open_dataset("calib", root=tmp_path, signature=fixed)
    samples = list(dataset.samples())
    assert [sample.feeds["image"].shape for sample in samples] == [(3, 3, 8, 8)] * 2
    np.testing.assert_array_equal(samples[1].feeds["image"], np.stack([random_image(i) for i in (3, 4, 5)]))
    assert samples[1].label.tolist() == [3, 0, 1]
    assert any("last 1 samples" in warning for warning in dataset.warnings)


BATCHES = """
import numpy as np
def samples():
    for start in (0, 4):
        images = np.random.default_rng(start).normal(size=(4, 3, 8, 8)).astype("float32")
        yield {"image": images}, np.arange(start, start + 4)
def odd():
    for feeds, _ in samples():
        yield feeds, "one label for all"
"""


def test_batches_are_cut_where_the_model_takes_one_at_a_time(tmp_path: Path) -> None:
    (tmp_path / "batches.py").write_text(BATCHES)
    single = Signature((TensorSpec("image", "float32", (1, 3, 8, 8)),), IMAGE.outputs)
    dataset = open_dataset("batches:samples", root=tmp_path, signature=single)
    samples = list(dataset.samples())
    assert [sample.feeds["image"].shape for sample in samples] == [(1, 3, 8, 8)] * 8
    assert [sample.label.tolist() for sample in samples] == [[place] for place in range(8)]
    assert samples[5].origin.endswith("row 1")
    whole = open_dataset("batches:samples", root=tmp_path, signature=IMAGE)
    assert (whole.count, whole.census.regrouped, dataset.census.regrouped) == (2, False, True)
    np.testing.assert_array_equal(np.concatenate([s.feeds["image"] for s in samples[:4]]), next(iter(whole))["image"])


def test_a_batch_whose_label_cannot_be_cut_is_refused(tmp_path: Path) -> None:
    (tmp_path / "batches.py").write_text(BATCHES)
    single = Signature((TensorSpec("image", "float32", (1, 3, 8, 8)),), IMAGE.outputs)
    with pytest.raises(ConfigError) as caught:
        open_dataset("batches:odd", root=tmp_path, signature=single)
    assert caught.value.code == "data-wrong-shape"


def test_limit_spreads_over_the_folder(tmp_path: Path) -> None:
    npz_folder(tmp_path, count=8)
    dataset = open_dataset("calib", root=tmp_path, signature=IMAGE, limit=4)
    assert [sample.origin[-6:] for sample in dataset.samples()] == ["00.npz", "02.npz", "04.npz", "06.npz"]


def test_a_time_major_input_is_taken_as_it_is(tmp_path: Path) -> None:
    speech = Signature((TensorSpec("input", "float32", ("n", 576)), TensorSpec("h", "float32", (1, 1, 128))), ())
    (tmp_path / "calib").mkdir()
    np.savez(
        tmp_path / "calib" / "a.npz", input=np.random.default_rng(0).normal(size=(40, 576)), h=np.zeros((1, 1, 128))
    )
    dataset = open_dataset("calib", root=tmp_path, signature=speech)
    assert next(iter(dataset))["input"].shape == (40, 576)
    assert any("float64 was cast to float32" in warning for warning in dataset.warnings)


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({"imgae": 1}, "data-wrong-name", "'imgae' is not an input"),
        ({"image": np.ones((8, 8))}, "data-wrong-rank", "2 axes"),
        ({"image": np.ones((3, 8, 9), np.float32)}, "data-wrong-shape", "axis 3 of shape [1, 3, 8, 9] is 9"),
        ({"image": np.ones((9, 3, 8, 8), np.float32)}, "data-wrong-shape", "outside batch = 1..8"),
        ({"image": np.ones((3, 8, 8), complex)}, "data-wrong-dtype", "complex128 cannot become float32"),
        ({"image": np.full((3, 8, 8), 1e300)}, "data-wrong-dtype", "float64 cannot become float32"),
        ({"image": np.full((3, 8, 8), 2**24 + 1)}, "data-wrong-dtype", "int64 cannot become float32"),
        ({"image": np.full((3, 8, 8), np.nan, np.float32)}, "data-not-finite", "192 of 192 values"),
        ({"image": np.zeros((3, 8, 8), np.float32)}, "data-constant", "one constant value"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, changes: dict, code: str, says: str) -> None:
    npz_folder(tmp_path, **changes)
    error = refusal(tmp_path)
    assert error.code == code
    assert says in error.message
    assert "calib" in str(error.where)
    if code not in ("data-constant", "data-wrong-name"):
        assert "00.npz: image" in str(error.where)


def test_did_you_mean_for_inputs_and_paths(tmp_path: Path) -> None:
    npz_folder(tmp_path, imgae=np.ones(3))
    assert refusal(tmp_path).hint == "did you mean 'image'?"
    assert refusal(tmp_path, "calbi").hint == "did you mean 'calib'?"


def test_a_missing_input_is_named(tmp_path: Path) -> None:
    (tmp_path / "calib").mkdir()
    np.savez(tmp_path / "calib" / "a.npz", ids=np.ones((1, 8), int))
    error = refusal(tmp_path, signature=TEXT)
    assert error.code == "data-missing-input"
    assert "'mask'" in error.message


def test_one_symbol_has_one_size_in_a_feed(tmp_path: Path) -> None:
    (tmp_path / "calib").mkdir()
    np.savez(tmp_path / "calib" / "a.npz", ids=np.arange(8), mask=np.ones(7, int))
    error = refusal(tmp_path, signature=TEXT)
    assert error.message == "s is 7 here but 8 in 'ids' of the same sample"


def test_inputs_that_were_fixed_in_the_model_are_left_out_when_they_agree(tmp_path: Path) -> None:
    npz_folder(tmp_path, rate=np.int64(16000))
    dataset = open_dataset("calib", root=tmp_path, signature=IMAGE, fixed={"rate": 16000})
    assert list(next(iter(dataset))) == ["image"]
    plain = open_dataset("calib", root=tmp_path, signature=IMAGE, fixed={"rate": [16000], "other": 1})
    assert plain.digest == dataset.digest
    error = refusal(tmp_path, fixed={"rate": 8000})
    assert error.code == "data-not-as-fixed"
    assert str(error.where).endswith("00.npz: rate")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04garbage", b"\x93NUMPY\x01\x00", b"hello", b"\x80\x04]\x94."])
@pytest.mark.parametrize("name", ["a.npz", "a.npy", "a.png"])
def test_damaged_files_are_refused_by_name(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / "calib").mkdir()
    (tmp_path / "calib" / name).write_bytes(content)
    error = refusal(tmp_path, preprocess=PreprocessTable())
    assert error.code == "data-unreadable"
    assert error.where is not None
    assert error.where.endswith(name)


def test_pickled_arrays_are_not_loaded(tmp_path: Path) -> None:
    (tmp_path / "calib").mkdir()
    np.savez(tmp_path / "calib" / "a.npz", image=np.array([{"a": 1}], dtype=object))
    error = refusal(tmp_path)
    assert "run any code" in error.message


def test_folders_must_hold_one_kind_of_sample(tmp_path: Path) -> None:
    folder = npz_folder(tmp_path)
    np.save(folder / "x.npy", random_image(0))
    assert refusal(tmp_path).code == "data-mixed-folder"
    (tmp_path / "empty").mkdir()
    assert refusal(tmp_path, "empty").code == "data-empty"
    (tmp_path / "a.csv").write_text("1,2")
    assert refusal(tmp_path, "a.csv").code == "data-unknown-kind"


def test_unequal_counts_and_scalars_in_one_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", ids=np.ones((4, 8), int), mask=np.ones((3, 8), int))
    assert refusal(tmp_path, "a.npz", TEXT).code == "data-unequal-counts"
    np.savez(tmp_path / "b.npz", ids=np.ones((4, 8), int), mask=np.int64(1))
    assert refusal(tmp_path, "b.npz", TEXT).code == "data-no-sample-axis"
    np.savez(tmp_path / "c.npz", ids=np.ones((0, 8), int), mask=np.ones((0, 8), int))
    assert refusal(tmp_path, "c.npz", TEXT).code == "data-empty"


def test_coverage_is_warned_about(tmp_path: Path) -> None:
    image = random_image(0)
    image[1] = 0.5
    npz_folder(tmp_path, image=image, label=np.int64(3))
    warnings = "\n".join(open_dataset("calib", root=tmp_path, signature=IMAGE, role="calibration").warnings)
    assert "only 4 samples" in warnings
    assert "3 of 4 samples repeat others" in warnings
    assert "channel 1 is constant" in warnings
    assert "one class (3)" in warnings


def test_overlap_of_calibration_and_evaluation(tmp_path: Path) -> None:
    npz_folder(tmp_path, count=6)
    (tmp_path / "eval").mkdir()
    for i in range(4, 9):
        np.savez(tmp_path / "eval" / f"{i}.npz", image=random_image(i))
    calibration = open_dataset("calib", root=tmp_path, signature=IMAGE)
    evaluation = open_dataset("eval", root=tmp_path, signature=IMAGE)
    assert str(overlap(calibration.census.feed_digests, evaluation.census.feed_digests)).startswith(
        "2 of 5 evaluation samples"
    )
    first = open_dataset("eval", root=tmp_path, signature=IMAGE, limit=1)
    assert overlap(calibration.census.feed_digests, first.census.feed_digests) is not None
