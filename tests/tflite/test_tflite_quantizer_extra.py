"""The format of the extra `quantizer` without its package: ranges, refusals, what is entered."""

import importlib
import importlib.util

import keras
import numpy as np
import pytest

from keras_joslim import tflite
from keras_joslim.tflite.quantized_file import tensor_ranges
from keras_joslim.tflite.representative import representative_inputs, representative_sha256

CONVERT = importlib.import_module("keras_joslim.tflite.convert")
EXPORT = importlib.import_module("keras_joslim.tflite.export")
NAME = "litert_int8"
TRAINING = np.random.default_rng(8).random((12, 16, 16, 3)).astype(np.float32)


@pytest.fixture
def without_package(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


@pytest.fixture(scope="module")
def int8(model):
    return tflite.to_tflite(model, "int8", representative=TRAINING)


@pytest.fixture
def stand_in(monkeypatch, int8):
    """The converter's own int8 file in the place of the quantizer's; lists what it was given."""
    given = []

    def quantized_file(*arguments):
        given.append(arguments)
        return int8

    monkeypatch.setattr(CONVERT, "quantized_file", quantized_file)
    monkeypatch.setattr(EXPORT, "quantizer_versions", lambda: {"litert_quantizer": "9"})
    for module in (CONVERT, EXPORT):
        monkeypatch.setattr(module, "require_quantizer", lambda: None)
    return given


def test_ranges_are_the_extremes_over_all_images(model, files):
    inputs = representative_inputs(model, TRAINING, {"image": (1, 16, 16, 3)})
    ranges = tensor_ranges(files["fp32"], inputs)
    # After the depthwise convolution's ReLU6, the residual sum and the pooling.
    told = {(float(one["min"][0]), float(one["max"][0])) for one in ranges.values()}
    named = [model.get_layer(n).output for n in ("depthwise_relu", "residual", "pool", "logits")]
    outputs = keras.Model(model.input, named)(TRAINING)
    for values in (TRAINING, *map(np.asarray, outputs)):
        extremes = values.min(), values.max()
        assert any(np.allclose(extremes, found, rtol=1e-4, atol=1e-4) for found in told)
    assert all(one["min"].shape == one["max"].shape == (1,) for one in ranges.values())
    one = tensor_ranges(files["fp32"], inputs[:1])
    assert ranges.keys() == one.keys()
    assert all(one[name]["max"] <= ranges[name]["max"] for name in one)
    assert any(one[name]["max"] < ranges[name]["max"] for name in one)


def test_missing_package_is_told_before_anything_is_made(
    without_package, model, images, tmp_path, monkeypatch
):
    for module in (CONVERT, EXPORT):
        monkeypatch.setattr(module, "saved_model", lambda *_: pytest.fail("work was begun"))
    message = r"needs litert_quantizer, .*: pip install 'keras_joslim\[quantizer\]'$"
    with pytest.raises(ValueError, match=message) as caught:
        tflite.export(
            {"p00": model}, tmp_path, ("fp32", NAME), images=images, representative=TRAINING
        )
    assert not isinstance(caught.value, tflite.ExportError)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match=message):
        tflite.to_tflite(model, NAME, representative=TRAINING)


def test_loops_are_refused(stand_in):
    inputs = keras.Input((5, 3))
    memory = keras.layers.LSTM(4, name="memory")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2)(memory))
    steps = np.random.default_rng(0).random((4, 5, 3)).astype(np.float32)
    with pytest.raises(tflite.FormatError, match=r"loop or a branch \(layers \['memory'\]; with"):
        tflite.to_tflite(model, NAME, representative=steps)
    assert stand_in == []


def test_file_is_made_of_the_fp32_one_and_entered_like_any_other(
    stand_in, model, images, files, tmp_path
):
    new = []

    def export(representative=TRAINING):
        new.clear()
        return tflite.export(
            {"p00": model},
            tmp_path,
            ("fp32", NAME),
            images=images,
            representative=representative,
            on_progress=lambda done, total, entry, kept: kept or new.append(entry.format),
        )

    manifest = export()
    ((data, inputs, settings, name),) = stand_in
    assert data == files["fp32"]
    np.testing.assert_array_equal(np.concatenate([one["image"] for one in inputs]), TRAINING)
    assert (settings, name) == (tflite.FORMATS[NAME], "small")
    fp32, entry = manifest.find("p00", "fp32"), manifest.find("p00", NAME)
    assert entry.path == "models/p00.litert_int8.tflite"
    assert entry.representative == representative_sha256(TRAINING)
    assert entry.versions == {**fp32.versions, "litert_quantizer": "9"}
    assert entry.inputs[0].dtype == "int8"
    assert entry.inputs[0].scale > 0
    assert entry.tolerance == {"absolute": 1e-5, "relative": 0.3}
    # It is kept as long as the images that it has its ranges from are the same.
    assert new == ["fp32", NAME]
    export()
    assert new == []
    export(TRAINING * 0.5)
    assert new == [NAME]
