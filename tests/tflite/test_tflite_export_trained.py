"""Export of the formats that are made by training: entries, what is kept, what fails alone."""

import contextlib
import dataclasses
import importlib
import importlib.util
import json
import types

import jsonschema
import keras
import numpy as np
import pytest

from keras_joslim import tflite
from keras_joslim.evaluation import Judge
from keras_joslim.tflite.qat import fine_tuning as qat
from keras_joslim.tflite.verify import keras_outputs

MODULE = importlib.import_module("keras_joslim.tflite.export")
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
RNG = np.random.default_rng(8)
TRAINING = RNG.random((40, 16, 16, 3)).astype(np.float32)
LABELS = RNG.integers(0, 5, 40)
MADE = ("qat", "cluster", "prune")

needs_tfmot = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow_model_optimization") is None,
    reason="tensorflow-model-optimization is in the extra `qat`",
)


def settings(teacher=None, **options):
    return tflite.FineTuning((TRAINING, LABELS), LOSS, teacher, **{"steps": 5, **options})


@pytest.fixture(scope="module")
def other(build_model):
    """Another network, which a training might have made, and its file."""
    network = build_model(seed=3)
    return network, tflite.to_tflite(network)


@pytest.fixture(scope="module")
def own(model):
    return tflite.to_tflite(model)


@pytest.fixture
def trained(monkeypatch, other, own):
    """Puts a training in place that gives the file of another network; lists what it was asked.

    The conversion of the model itself was done before.
    """
    asked = []

    def quantization_aware(model, fine_tuning, mode, tolerance):
        asked.append((model.name, mode, fine_tuning, tolerance))
        network, data = other
        difference = tflite.verify(data, network, TRAINING[:4], tolerance)
        return qat.FineTuned(data, (2.0, 1.0), qat.kernel_statistics(data), difference)

    @contextlib.contextmanager
    def saved_model(model, input_shape):
        yield types.SimpleNamespace(model=model, to_tflite=lambda name, representative: own)

    monkeypatch.setattr(MODULE, "saved_model", saved_model)
    monkeypatch.setattr(MODULE, "quantization_aware", quantization_aware)
    monkeypatch.setattr(MODULE, "require_tfmot", lambda: None)
    monkeypatch.setattr(MODULE, "tfmot_versions", lambda: {"tf_keras": "2"})
    return asked


@pytest.fixture
def export(tmp_path, model, images):
    """Exports the model; gives the manifest and the formats that were made anew."""

    def export(formats, fine_tuning=None, models=None, **options):
        new = []

        def on_progress(done, total, entry, kept):
            if not kept:
                new.append(entry.format)

        options = {"images": images, "representative": TRAINING, **options}
        models = models or {"p00": model}
        manifest = tflite.export(
            models, tmp_path, formats, fine_tuning=fine_tuning, on_progress=on_progress, **options
        )
        return manifest, new

    return export


def test_difference_from_the_model_given_is_told_and_refuses_nothing(trained, export, tmp_path):
    manifest, _ = export(("fp32", *MADE), settings())
    assert tflite.Manifest.load(tmp_path) == manifest
    manifest.check_files(tmp_path)
    for name in MADE:
        entry = manifest.find("p00", name)
        # Another network's outputs: far beyond any tolerance.
        assert entry.difference["max_relative"] > 0.3
        assert entry.difference["allowed"] is None
        assert entry.fine_tuning["difference"] < 1e-5
        assert entry.fine_tuning["settings"] == settings().settings(name)
        assert entry.fine_tuning["data"] == settings().sha256
        assert entry.versions["tf_keras"] == "2"
        assert entry.tolerance == {"absolute": 1e-5, "relative": 0.2}
    fp32 = manifest.find("p00", "fp32")
    assert fp32.fine_tuning is None
    assert "tf_keras" not in fp32.versions
    path = tmp_path / "manifest.json"
    value = json.loads(path.read_text())
    validator = jsonschema.Draft202012Validator(tflite.manifest_schema())
    validator.validate(value)
    del value["files"][0]["fine_tuning"]["data"]
    assert not validator.is_valid(value)
    path.write_text(json.dumps(value))
    with pytest.raises(ValueError, match=r"Expected the fields .*'data'.* as fine_tuning in entry"):
        tflite.Manifest.load(tmp_path)


def test_what_the_training_was_worth_is_measured_on_the_file(trained, export, model, other):
    lender = keras.models.clone_model(model)
    lender.compile(loss=LOSS, metrics=["accuracy"])
    judge = Judge(lender, (TRAINING, LABELS))
    manifest, _ = export("qat", settings(), judge=judge)
    expected = judge.measure(lambda x: other[0](x, training=False))
    assert manifest.files[0].validation["metrics"] == pytest.approx(expected, rel=1e-4)


def test_only_what_depends_on_a_change_is_made_again(trained, export):
    formats = ("fp32", *MADE)
    assert export(formats, settings())[1] == list(formats)
    for changed, expected in (
        (settings(), []),
        (settings(timeout=9.0, threads=2), []),
        (settings(clusters=8), ["cluster"]),
        (settings(clusters=8, sparsity=0.7), ["prune"]),
        (settings(clusters=8, sparsity=0.7, steps=6), list(MADE)),
        (settings(teacher=RNG.normal(size=(40, 5)), steps=6), list(MADE)),
    ):
        assert export(formats, changed)[1] == expected
    assert export("fp32")[1] == []


def test_tolerance_is_that_between_file_and_trained_network(trained, export):
    export(MADE, settings(int8=False))
    fp32, qat_default = tflite.FORMATS["fp32"].tolerance, tflite.FORMATS["qat"].tolerance
    assert [asked[3] for asked in trained] == [qat_default, fp32, fp32]
    wide = tflite.Tolerance(1.0, 0.0)
    assert export(MADE, settings(int8=False), tolerances={"prune": wide})[1] == ["prune"]
    assert trained[-1][3] == wide


def test_teacher_computes_once_for_all_points(trained, export, model, build_model):
    teacher = build_model(seed=5)
    fine_tuning = settings(teacher=teacher)
    manifest, _ = export(MADE, fine_tuning, {"p00": model, "p01": build_model(seed=1)})
    given = [asked[2] for asked in trained]
    assert len(given) == 6
    assert all(each is given[0] for each in given)
    expected = keras_outputs(teacher, TRAINING)["logits"]
    np.testing.assert_allclose(given[0].teacher, expected, rtol=1e-5)
    assert {entry.fine_tuning["data"] for entry in manifest} == {fine_tuning.sha256}


@pytest.mark.parametrize("error", [qat.FineTuningError, qat.FineTuningTimeoutError])
def test_failed_training_does_not_stop_the_others(trained, export, monkeypatch, error):
    def fail(model, fine_tuning, mode, tolerance):
        raise error("The process was stopped.", mode)

    monkeypatch.setattr(MODULE, "quantization_aware", fail)
    with pytest.raises(tflite.ExportError, match="p00 as qat: The process was stopped") as caught:
        export(("qat", "fp32"), settings())
    assert [entry.format for entry in caught.value.manifest] == ["fp32"]


def test_layer_that_is_not_known_is_one_line_and_the_others_are_made(export, monkeypatch):
    for module in (MODULE, qat):
        monkeypatch.setattr(module, "require_tfmot", lambda: None)
    image = keras.Input((16, 16, 3), name="image")
    x = keras.layers.GroupNormalization(3, name="odd")(image)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, keras.layers.Dense(5, name="logits")(x))
    told = []
    manifest, _ = export(
        ("fp32", "qat", "prune"),
        settings(),
        {"p00": model},
        on_failure=lambda *failure: told.append(failure),
    )
    assert [entry.format for entry in manifest] == ["fp32"]
    assert [(point, name) for point, name, _ in told] == [("p00", "qat"), ("p00", "prune")]
    assert all("'odd' (GroupNormalization)" in str(error) for _, _, error in told)
    assert all(len(str(error).splitlines()) == 1 for _, _, error in told)


def test_missing_settings_and_missing_extra_stop_before_anything(export, tmp_path, monkeypatch):
    for given in (None, {"steps": 3}):
        with pytest.raises(ValueError, match=r"qat, prune is made by training.*FineTuning\("):
            export(("fp32", "qat", "prune"), given)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'keras_joslim\[qat\]'") as caught:
        export(("fp32", "qat"), settings())
    assert not isinstance(caught.value, tflite.ExportError)
    assert list(tmp_path.iterdir()) == []


def test_conversion_alone_makes_no_such_file(model):
    with pytest.raises(ValueError, match=r"Format prune is made by training. Use `tflite.export"):
        tflite.to_tflite(model, "prune")


@needs_tfmot
@pytest.mark.slow
def test_trained_files_stand_beside_the_others(export, model, build_model):
    fine_tuning = settings(teacher=build_model(seed=5))
    manifest, new = export(("int8", *MADE), fine_tuning, jobs=2)
    assert new == ["int8", *MADE]
    int8 = manifest.find("p00", "int8")
    for name in MADE:
        entry = manifest.find("p00", name)
        for mine, theirs in ((entry.inputs, int8.inputs), (entry.outputs, int8.outputs)):
            assert [(t.name, t.shape, t.dtype) for t in mine] == [
                (t.name, t.shape, t.dtype) for t in theirs
            ]
        # 0 where the training foresaw every rounding of the file.
        assert 0 <= entry.fine_tuning["difference"] < 0.05
        assert entry.weights["int8"] > 0
        assert {"tf_keras", "tensorflow_model_optimization"} < set(entry.versions)
    again, new = export(("int8", *MADE), dataclasses.replace(fine_tuning))
    assert (again, new) == (manifest, [])
    floats, new = export(("prune",), dataclasses.replace(fine_tuning, int8=False))
    assert floats.find("p00", "prune").inputs[0].dtype == "float32"
    assert new == ["prune"]
