"""One file with many widths: it computes what the points' own files do, kernels stored once."""

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from keras_joslim import tflite
from keras_joslim.tflite.single_file.writer import convert_points, write_points
from tests.tflite.slimmed import SHAPE, mixed, mobile, points, slimmable

# Quotes, a slash, spaces and letters beyond ASCII; a name that looks like a path.
ODD = "½ 'p'/\"1\" \\ → 01"
NAMES = ("full", ODD, "../narrow")


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(2).random((3, *SHAPE)).astype(np.float32)


@pytest.fixture(scope="module")
def models():
    slim = slimmable(mobile)
    space = slim.width_space
    vectors = (space.full, space.sample(np.random.default_rng(3), 1)[0], space.smallest)
    return points(slim, dict(zip(NAMES, vectors, strict=True)))


@pytest.fixture(scope="module")
def converted(models, images):
    return convert_points(models, images)


@pytest.fixture(scope="module")
def exported(converted, tmp_path_factory):
    return write_points(converted, tmp_path_factory.mktemp("single") / "front.tflite", 0.01)


@pytest.fixture(scope="module")
def own_files(converted):
    return {point.name: point.data for point in converted}


def assert_equal_files(file, own, name, images):
    expected, actual = tflite.run(own, images), file.run(name, images)
    if not isinstance(expected, dict):
        expected, actual = {"": expected}, {"": actual}
    for key, values in expected.items():
        assert np.ptp(values) > 0.1
        bound = 1e-5 * np.abs(values).max()
        np.testing.assert_allclose(actual[key], values, atol=bound, rtol=0)


def table(path):
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes()))


def test_signatures_are_the_points(exported):
    file = tflite.SingleFile(exported.path)
    assert file.points == NAMES
    (image,), (logits,) = file.inputs(ODD), file.outputs(ODD)
    assert (image.name, image.shape, image.dtype) == ("image", (1, *SHAPE), "float32")
    assert (logits.name, logits.shape, logits.dtype) == ("logits", (1, 10), "float32")


@pytest.mark.parametrize("name", NAMES)
def test_equals_the_points_own_files(exported, own_files, images, name):
    assert_equal_files(tflite.SingleFile(exported.path), own_files[name], name, images)


def test_kernels_are_stored_once(exported, models, own_files):
    kernels = sum(w.numpy().nbytes for w in models["full"].weights if "kernel" in w.path)
    offsets = sum(
        2 * 4 * layer.gamma.shape[0]
        for model in models.values()
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    )
    # Operators, shapes and indices of three graphs.
    assert exported.bytes == exported.path.stat().st_size < kernels + offsets + 9000
    assert exported.bytes < 0.75 * sum(map(len, own_files.values()))
    assert exported.kernels == kernels
    assert exported.vectors <= offsets + 3 * 4 * (64 + 10)
    assert exported.unshared == ()
    # (Two slices of one kernel may have the same offsets, but never in one buffer.)
    buffers = [bytes(b.data) for b in table(exported.path).buffers if b.data is not None]
    large = [content for content in buffers if len(content) > 1024]
    assert len(large) > 3
    assert len(set(large)) == len(large)


def test_buffers_are_used_and_aligned(exported):
    data, model = exported.path.read_bytes(), table(exported.path)
    used = {tensor.buffer for graph in model.subgraphs for tensor in graph.tensors}
    assert used == set(range(len(model.buffers)))
    for buffer in model.buffers[1:]:
        content = bytes(buffer.data)
        start = data.find(content)
        while start % 16:
            start = data.find(content, start + 1)
            assert start >= 0


def test_the_same_models_give_the_same_bytes(exported, models, images, tmp_path):
    steps = []
    again = tflite.export_single_file(
        models, tmp_path / "x", images=images, on_progress=lambda *step: steps.append(step)
    )
    assert again.path.read_bytes() == exported.path.read_bytes()
    assert steps == [(1, 3, "full"), (2, 3, ODD), (3, 3, "../narrow")]


def test_overhead_buys_copies(exported, converted, own_files, images, tmp_path):
    report = write_points(converted, tmp_path / "x", overhead=float("inf"))
    assert any(point.scaled for point in exported.points)
    assert not exported.points[0].scaled
    assert not any(point.scaled for point in report.points)
    assert any(point.copied for point in report.points)
    assert exported.bytes < report.bytes < sum(map(len, own_files.values()))
    file = tflite.SingleFile(report.path)
    for name, own in own_files.items():
        # The same operators with the same constants.
        np.testing.assert_array_equal(file.run(name, images), tflite.run(own, images))


def test_overhead_is_kept(exported, converted, tmp_path):
    allowed = exported.overhead + 0.02
    report = write_points(converted, tmp_path / "x", allowed)
    assert exported.overhead < report.overhead <= allowed
    assert sum(p.scaled for p in report.points) < sum(p.scaled for p in exported.points)


def test_layers_of_many_kinds(images, tmp_path):
    slim = slimmable(mixed, divisor=4)
    # Neither point is wider than the other everywhere.
    first, second = slim.width_space.sample(np.random.default_rng(5), 2)
    assert (first > second).any()
    assert (first < second).any()
    two = points(slim, {"first": first, "second": second})
    report = tflite.export_single_file(two, tmp_path / "x", images=images)
    assert report.unshared == ()
    assert report.bytes < sum(point.own_bytes for point in report.points)
    file = tflite.SingleFile(report.path)
    for name, model in two.items():
        actual = file.run(name, images)
        for output, expected in zip("ab", model(images, training=False), strict=True):
            assert np.ptp(expected) > 0.1
            bound = 1e-5 * np.abs(expected).max()
            np.testing.assert_allclose(actual[output], expected, atol=bound, rtol=0)


def test_what_cannot_be_shared_is_stored_and_told(models, converted, images, tmp_path):
    other = keras.models.clone_model(models[ODD])
    other.set_weights(models[ODD].get_weights())
    kernel = next(w for w in other.weights if len(w.shape) == 2 and w.shape[1] > 10)
    kernel.assign(kernel + 1.0)
    (point,) = convert_points({"other": other}, images)
    report = write_points([converted[0], point], tmp_path / "x", 0.01)
    (told,) = report.unshared
    assert (told.point, told.weight) == ("other", kernel.path)
    assert told.bytes == 4 * kernel.shape[0] * kernel.shape[1]
    assert "not slices of one kernel" in told.reason
    assert_equal_files(tflite.SingleFile(report.path), point.data, "other", images)


def test_nothing_is_written_of_what_disagrees(converted, tmp_path):
    path = tmp_path / "front.tflite"
    path.write_bytes(b"before")
    with pytest.raises(tflite.DisagreementError, match="'../narrow' of the single file disagrees"):
        write_points(converted[2:], path, 0.01, tflite.Tolerance(0, 0))
    assert path.read_bytes() == b"before"
    assert [p.name for p in tmp_path.iterdir()] == ["front.tflite"]


def test_refuses_other_networks(converted, images):
    (other,) = convert_points({"other": mobile()}, images)
    with pytest.raises(ValueError, match="'full' and 'other', where .*Extract all of them"):
        other.check_same_network(converted[0])


@pytest.mark.parametrize(
    ("given", "more", "said"),
    [
        ({}, {}, "at least one. Received: models={}"),
        ([1], {}, "dict point name -> model.*list"),
        ({"": None}, {}, "names that are text. Received: ''"),
        ({"a\0b": None}, {}, "names that are text"),
        ({"\ud800": None}, {}, "names that are text"),
        ({3: None}, {}, "names that are text. Received: 3"),
        ({"a": None}, {"overhead": -0.1}, "overhead=-0.1"),
        ({"a": None}, {"overhead": float("nan")}, "overhead=nan"),
    ],
)
def test_refuses_arguments(given, more, said, images, tmp_path):
    with pytest.raises(ValueError, match=said):
        tflite.export_single_file(given, tmp_path / "x", images=images, **more)


def test_refuses_a_slimmable_model(images, tmp_path):
    with pytest.raises(ValueError, match="slimmable"):
        tflite.export_single_file({"a": slimmable(mobile)}, tmp_path / "x", images=images)


# -- reading -----------------------------------------------------------------


def test_refuses_an_unknown_point(exported, images):
    file = tflite.SingleFile(exported.path)
    with pytest.raises(ValueError, match="Expected a point out of .*'full'.* Received: point='p9'"):
        file.run("p9", images)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (np.zeros((1, 8, 16, 3), np.float32), r"shape \(16, 16, 3\) for input 'image'"),
        (np.zeros((0, *SHAPE), np.float32), "at least one image"),
        (np.zeros((1, *SHAPE), complex), "dtype=complex128"),
        ({"picture": np.zeros((1, *SHAPE), np.float32)}, "picture"),
    ],
)
def test_refuses_images(exported, bad, said):
    with pytest.raises(ValueError, match=said):
        tflite.SingleFile(exported.path).run("full", bad)


def test_a_file_of_one_point_can_be_read(own_files, images):
    file = tflite.SingleFile(own_files["full"])
    assert file.points == ("serving_default",)
    actual = file.run("serving_default", images.astype(np.float64))
    np.testing.assert_array_equal(actual, tflite.run(own_files["full"], images))


def test_refuses_no_file(tmp_path):
    with pytest.raises(ValueError, match="no file"):
        tflite.SingleFile(tmp_path / "none.tflite")


def test_refuses_what_is_no_tflite_file(exported):
    with pytest.raises(ValueError, match="identifier 'TFL3'"):
        tflite.SingleFile(b"PK" + exported.path.read_bytes()[2:4] + b"none")


@pytest.mark.parametrize("kept", [8, 100, 0.1, 0.5, 0.9, 0.999])
def test_refuses_a_file_cut_short(exported, kept):
    data = exported.path.read_bytes()
    length = kept if isinstance(kept, int) else int(kept * len(data))
    with pytest.raises(ValueError, match="cut short or damaged"):
        tflite.SingleFile(data[:length])


def test_refuses_indices_out_of_range(exported):
    # LiteRT itself would write beyond the kernel.
    sparse = [
        level.arrayIndices.values
        for graph in table(exported.path).subgraphs
        for tensor in graph.tensors
        if tensor.sparsity is not None
        for level in tensor.sparsity.dimMetadata
        if level.arrayIndices is not None
    ]
    longest = max(sparse, key=len)
    data = exported.path.read_bytes()
    assert len(longest) > 8
    assert data.count(longest.tobytes()) == 1
    damaged = data.replace(longest.tobytes(), longest[:-1].tobytes() + b"\xff")
    with pytest.raises(ValueError, match="index is out of range"):
        tflite.SingleFile(damaged)
