"""Export of several number formats: what they depend on, what is measured, what fails alone."""

import importlib

import keras
import numpy as np
import pytest

from keras_joslim import tflite
from keras_joslim.evaluation import Judge
from keras_joslim.tflite.representative import representative_sha256

MODULE = importlib.import_module("keras_joslim.tflite.export")
RNG = np.random.default_rng(8)
TRAINING = RNG.random((12, 16, 16, 3)).astype(np.float32)


def judge_of(model, seed=0):
    """Validation data, by a model that only lends its loss."""
    rng = np.random.default_rng(seed)
    data = rng.random((20, 16, 16, 3)).astype(np.float32), rng.integers(0, 5, 20)
    lender = keras.models.clone_model(model)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    lender.compile(loss=loss, metrics=["accuracy"])
    return Judge(lender, data)


def build_hard_swish(name="swishing"):
    """A model that cannot have int16 activations."""
    image = keras.Input((16, 16, 3), name="image")
    x = keras.layers.Conv2D(4, 3, strides=4, name="stem")(image)
    x = keras.layers.Activation("hard_silu", name="swish")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, keras.layers.Dense(5, name="logits")(x), name=name)


class Log:
    """What `on_progress` is told."""

    def __init__(self):
        self.events = []

    def __call__(self, done, total, entry, kept):
        self.events.append((done, total, entry.format, kept))

    @property
    def new(self):
        return [event[2] for event in self.events if not event[3]]


@pytest.fixture(scope="module")
def judge(model):
    return judge_of(model)


@pytest.fixture(scope="module")
def exported(tmp_path_factory, model, images, judge):
    """A directory with one point as fp32 and int8; not to be changed."""
    directory = tmp_path_factory.mktemp("exported")
    manifest = tflite.export(
        {"p00": model},
        directory,
        ("fp32", "int8"),
        images=images,
        representative=TRAINING,
        judge=judge,
    )
    return directory, manifest


def test_entries_tell_how_a_file_was_quantised(exported):
    directory, manifest = exported
    fp32, int8 = manifest.find("p00", "fp32"), manifest.find("p00", "int8")
    assert fp32.representative is None
    assert int8.representative == representative_sha256(TRAINING)
    assert int8.inputs == tflite.Interpreter(directory / int8.path).inputs
    assert int8.inputs[0].dtype == "int8"
    assert int8.inputs[0].scale > 0
    assert int8.xnnpack == {
        "partitions": 1,
        "taken": sum(int8.operators.values()),
        "operators": sum(int8.operators.values()),
        "left": [],
    }
    assert set(int8.weights) == {"int8", "int32"}
    assert set(fp32.weights) == {"float32", "int32"}
    for entry in manifest:
        data = (directory / entry.path).read_bytes()
        assert sum(entry.weights.values()) == tflite.weight_bytes(data)
    assert tflite.Manifest.load(directory) == manifest


def test_validation_is_measured_on_the_files_themselves(exported, judge):
    directory, manifest = exported
    for entry in manifest:
        assert entry.validation["metrics"] == tflite.evaluate(directory / entry.path, judge)
        assert (entry.validation["examples"], entry.validation["data"]) == (20, judge.sha256)
        assert entry.test == {}
    losses = [entry.validation["metrics"]["loss"] for entry in manifest]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], abs=0.1)


def test_second_export_makes_and_measures_nothing(exported, model, images, judge, monkeypatch):
    directory, manifest = exported
    monkeypatch.setattr(MODULE, "saved_model", None)
    monkeypatch.setattr(MODULE, "judged", None)
    again = tflite.export(
        {"p00": model},
        directory,
        ("fp32", "int8"),
        images=images,
        representative=TRAINING.copy(),
        judge=judge,
    )
    assert again == manifest


def test_other_validation_data_is_measured_on_kept_files(exported, model, images, tmp_path):
    first = tflite.export({"p00": model}, tmp_path, "fp32", images=images)
    assert first.files[0].validation == {}
    for seed in (1, 2):
        log, judge = Log(), judge_of(model, seed)
        manifest = tflite.export(
            {"p00": model}, tmp_path, "fp32", images=images, judge=judge, on_progress=log
        )
        assert log.new == []
        assert manifest.files[0].validation["data"] == judge.sha256
        assert tflite.Manifest.load(tmp_path) == manifest
    # Without a judge, what is known stays.
    assert tflite.export({"p00": model}, tmp_path, "fp32", images=images) == manifest


def test_other_representative_images_change_only_what_depends_on_them(model, images, tmp_path):
    files = []
    for scale in (1.0, 1.0, 0.25):
        log = Log()
        manifest = tflite.export(
            {"p00": model},
            tmp_path,
            ("fp32", "int8"),
            images=images[:2] * 0.25,
            representative=TRAINING * scale,
            on_progress=log,
        )
        files.append((log.new, manifest.find("p00", "int8").inputs[0].scale))
    assert [new for new, _ in files] == [["fp32", "int8"], [], ["int8"]]
    assert files[2][1] == pytest.approx(files[0][1] / 4, rel=0.01)


# -- failures ------------------------------------------------------------------


def test_a_format_that_cannot_be_does_not_stop_the_others(model, images, tmp_path):
    models = {"p00": build_hard_swish(), "p01": model}
    formats = ("int16x8", "fp32", "int8")
    with pytest.raises(tflite.ExportError) as caught:
        tflite.export(models, tmp_path, formats, images=images, representative=TRAINING)
    error = caught.value
    assert list(error.failures) == [("p00", "int16x8")]
    assert isinstance(error.failures["p00", "int16x8"], tflite.FormatError)
    lines = str(error).splitlines()
    assert lines[0] == "Files that could not be made: 1; the others are written."
    assert lines[1].startswith("p00 as int16x8: Model 'swishing' cannot be int16x8")
    assert "HARD_SWISH (layer 'swish')" in lines[1]
    assert error.manifest == tflite.Manifest.load(tmp_path)
    error.manifest.check_files(tmp_path)
    assert [(e.point, e.format) for e in error.manifest] == [
        ("p00", "fp32"),
        ("p00", "int8"),
        ("p01", "fp32"),
        ("p01", "int16x8"),
        ("p01", "int8"),
    ]


def test_failures_may_be_told_one_by_one_and_old_files_go(model, images, tmp_path):
    told, log = [], Log()

    def export(models):
        return tflite.export(
            models,
            tmp_path,
            ("fp32", "int16x8"),
            images=images,
            representative=TRAINING,
            on_progress=log,
            on_failure=lambda *failure: told.append(failure),
        )

    export({"p00": model})
    assert told == []
    assert (tmp_path / "models" / "p00.int16x8.tflite").exists()
    # The same point is another network now, of which there is no such file.
    manifest = export({"p00": build_hard_swish()})
    assert [entry.format for entry in manifest] == ["fp32"]
    assert tflite.Manifest.load(tmp_path) == manifest
    assert not (tmp_path / "models" / "p00.int16x8.tflite").exists()
    ((point, name, error),) = told
    assert (point, name) == ("p00", "int16x8")
    assert "HARD_SWISH" in str(error)
    assert log.events[-1][:3] == (1, 2, "fp32")


def test_disagreement_of_another_format_is_a_failure_too(model, images, tmp_path):
    with pytest.raises(tflite.ExportError, match=r"p00 as int8: models/p00.int8.tflite disagr"):
        tflite.export(
            {"p00": model},
            tmp_path,
            ("int8", "fp32"),
            images=images,
            representative=TRAINING,
            tolerances={"int8": tflite.Tolerance(0, 1e-6)},
        )
    found = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert found == ["manifest.json", "p00.fp32.tflite"]


@pytest.mark.parametrize(
    ("representative", "message"),
    [
        (None, "Format int8, int16x8 needs representative images"),
        (TRAINING[:, ::2], "representative images of shape .*16, 16, 3"),
    ],
)
def test_wrong_representative_images_stop_the_export(
    model, images, tmp_path, representative, message
):
    with pytest.raises(ValueError, match=message) as caught:
        tflite.export(
            {"p00": model},
            tmp_path,
            ("fp32", "int8", "int16x8"),
            images=images,
            representative=representative,
        )
    assert not isinstance(caught.value, tflite.ExportError)
    assert list(tmp_path.iterdir()) == []
