"""Loss and metrics of a file are those of its Keras model, taken from the file itself."""

import dataclasses

import keras
import numpy as np
import pytest

import keras_joslim as kj
from keras_joslim import tflite
from keras_joslim.evaluation import Judge


def logits_loss(**options):
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, **options)


@pytest.fixture(scope="module")
def data(model):
    """Images, and labels of which the model gets about half right."""
    rng = np.random.default_rng(2)
    images = rng.random((60, 16, 16, 3)).astype(np.float32)
    right = np.asarray(model(images)).argmax(-1)
    return images, np.where(rng.random(60) < 0.5, right, (right + 1) % 5).astype(np.int32)


@pytest.fixture(scope="module")
def judge(build_model, data):
    model = build_model()
    model.compile(loss=logits_loss(), metrics=["accuracy"])
    return Judge(model, data)


def test_an_fp32_file_measures_as_its_keras_model(model, files, judge, data):
    expected = judge.measure(lambda x: model(x, training=False))
    actual = tflite.evaluate(files["fp32"], judge)
    assert set(actual) == {"loss", "loss_se", "accuracy"}
    assert actual["loss"] == pytest.approx(expected["loss"], abs=1e-5)
    assert actual["loss_se"] == pytest.approx(expected["loss_se"], abs=1e-5)
    assert actual["accuracy"] == expected["accuracy"]
    # By hand, from the definitions.
    images, labels = data
    logits = np.asarray(model(images), np.float64)
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    assert actual["loss"] == pytest.approx(-logs[np.arange(60), labels].mean(), abs=1e-5)
    assert actual["accuracy"] == pytest.approx((logits.argmax(-1) == labels).mean())
    assert 0.3 < actual["accuracy"] < 0.7


def test_the_slimmable_models_judge_and_a_stock_models_agree(build_model, files, judge, data):
    slim = kj.make_slimmable(build_model())
    slim.compile("sgd", logits_loss(), metrics=["accuracy"])
    of_slim = Judge(slim, data)
    assert tflite.evaluate(files["fp32"], of_slim) == tflite.evaluate(files["fp32"], judge)
    assert of_slim.sha256 == judge.sha256


def test_another_file_measures_otherwise(build_model, judge, files):
    other = tflite.to_tflite(build_model(seed=3))
    assert tflite.evaluate(other, judge)["loss"] != tflite.evaluate(files["fp32"], judge)["loss"]


def test_several_inputs_and_outputs(build_model):
    zed, alpha = keras.Input((4,), name="zed"), keras.Input((3,), name="alpha")
    outputs = [
        keras.layers.Dense(2, name="second")(zed),
        keras.layers.Dense(5, name="first")(keras.layers.Concatenate()([zed, alpha])),
    ]
    model = keras.Model([zed, alpha], outputs)
    model.compile(
        loss={"second": "mse", "first": logits_loss()},
        loss_weights={"second": 0.25, "first": 1.0},
        metrics={"first": ["accuracy"]},
    )
    rng = np.random.default_rng(0)
    x = tuple(rng.normal(size=(20, n)).astype(np.float32) for n in (4, 3))
    y = (rng.normal(size=(20, 2)).astype(np.float32), rng.integers(0, 5, 20))
    judge = Judge(model, (x, y))
    data = tflite.to_tflite(model)
    expected = judge.measure(lambda batch: model(batch, training=False))
    assert tflite.evaluate(data, judge, model) == pytest.approx(expected, abs=1e-5)
    first = -np.log(keras.ops.convert_to_numpy(keras.ops.softmax(model(x)[1])))
    squares = (np.asarray(model(x)[0]) - y[0]) ** 2
    by_hand = 0.25 * squares.mean() + first[np.arange(20), y[1]].mean()
    assert expected["loss"] == pytest.approx(by_hand, abs=1e-5)
    with pytest.raises(ValueError, match=r"Keras model as `network`.*outputs .*'first'"):
        tflite.evaluate(data, judge)


def test_a_loss_that_is_not_finite_is_refused(build_model, judge):
    broken = build_model()
    broken.get_layer("logits").set_weights([np.full((8, 5), np.nan), np.zeros(5)])
    with pytest.raises(ValueError, match=r"Expected finite results .*loss=nan"):
        tflite.evaluate(tflite.to_tflite(broken), judge)


def test_a_judge_is_known_by_its_data_and_losses(build_model, judge, data):
    def sha256(images=data[0], labels=data[1], loss=None):
        model = build_model()
        model.compile(loss=loss or logits_loss(), metrics=["accuracy"])
        return Judge(model, (images, labels)).sha256

    assert sha256() == judge.sha256
    assert sha256(images=data[0] * 0.5) != judge.sha256
    assert sha256(labels=data[1][::-1]) != judge.sha256
    assert sha256(loss=logits_loss(ignore_class=1)) != judge.sha256


def test_a_stock_model_must_have_a_loss(build_model, data):
    model = build_model()
    model.compile(metrics=["accuracy"])
    with pytest.raises(ValueError, match=r"'small' was compiled without a loss"):
        Judge(model, data)


# -- test data -----------------------------------------------------------------


@pytest.fixture
def exported(tmp_path, model, images):
    return tflite.export({"p00": model}, tmp_path / "out", "fp32", images=images)


def test_test_data_is_measured_once_a_file(exported, model, images, judge):
    seen = []
    measured = tflite.measure_test(exported, judge, on_progress=lambda *args: seen.append(args))
    (entry,) = measured
    data = (exported.directory / entry.path).read_bytes()
    assert entry.test["metrics"] == tflite.evaluate(data, judge)
    assert (entry.test["examples"], entry.test["data"]) == (60, judge.sha256)
    assert seen == [(1, 1, entry)]
    measured.save(exported.directory / "manifest.json")
    assert tflite.Manifest.load(exported.directory) == measured
    with pytest.raises(ValueError, match="Test data is measured once, and the 1 files"):
        tflite.measure_test(tflite.Manifest.load(exported.directory), judge)
    # A file that came later is measured, the old one is not again.
    later = dataclasses.replace(entry, format="fp16", test={})
    known = measured.replace(dataclasses.replace(entry, test={"metrics": {"loss": -1.0}}))
    both = tflite.measure_test(known.replace(later), judge)
    assert both.find("p00", "fp32").test == {"metrics": {"loss": -1.0}}
    assert both.find("p00", "fp16").test == entry.test


def test_changed_files_are_not_tested(exported, judge):
    path = exported.directory / "models" / "p00.fp32.tflite"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ValueError, match="missing or changed"):
        tflite.measure_test(exported, judge)
