"""`joslim export` in several formats: what is measured, what could not be made, one line each."""

import json
import shutil
import sys

import keras
import numpy as np
import pytest

from keras_joslim import tflite
from keras_joslim.app.export import export, export_one_file
from keras_joslim.app.profile import profile
from keras_joslim.app.recipe import make_recipe
from keras_joslim.app.workdir import Workdir
from keras_joslim.configs.digits import get_config
from keras_joslim.front import ParetoFront
from keras_joslim.tflite.convert import SavedModel
from keras_joslim.tflite.formats import FormatError
from keras_joslim.tflite.manifest import Manifest


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A workdir as the training leaves it, of a network that nothing was trained on."""
    config = get_config()
    config.model.options = {"width": 0.25}
    config.export.formats = ("int8", "dynamic")
    workdir = Workdir(tmp_path_factory.mktemp("app") / "run")
    workdir.claim(config.to_dict())
    recipe = make_recipe(workdir.config())
    validation = recipe.data.validation
    space = recipe.model.width_space
    front = ParetoFront.build(
        recipe.model,
        space.full[None],
        (validation.images, validation.labels),
        recipe.calibration_batches(),
        progress=False,
    )
    front.save_models(workdir.place).save(workdir.front_file)
    return workdir


def test_files_are_measured_and_shown(trained):
    said = []
    front = export(trained, ("int8", "dynamic"), jobs=1, say=said.append)
    manifest = Manifest.load(trained.place)
    for point in front:
        for name in ("int8", "dynamic"):
            entry = manifest.find(point.name, name)
            measured = dict(point.deployed[name])
            assert measured.pop("arena") == entry.arena
            assert measured.pop("max_difference") == entry.difference["max_abs"]
            assert measured == entry.validation["metrics"]
            assert entry.validation["examples"] == 360
            assert abs(measured["loss"] - point.validation["loss"]) < 0.2
            assert point.bytes[name] == (trained.place / point.files[name]).stat().st_size
        assert manifest.find(point.name, "int8").inputs[0].dtype == "int8"
    # A quarter of the channels: no kernel is large enough for the converter.
    names = ", ".join(point.name for point in front)
    assert any(line.startswith(f"Nothing to quantise in dynamic files of {names}") for line in said)
    assert ParetoFront.load(trained.front_file).points == front.points


def test_representative_images_are_from_the_training_data(trained, monkeypatch):
    given = []

    def to_tflite(self, name, representative):
        given.append(representative)
        raise FormatError(f"no {name} here", name)

    monkeypatch.setattr(SavedModel, "to_tflite", to_tflite)
    with pytest.raises(ValueError, match="No point could be exported as int16x8"):
        export(trained, ("int16x8",), jobs=1, say=lambda line: None)
    train = make_recipe(trained.config()).data.train.images
    rows = {image.tobytes() for image in train}
    assert given[0].shape == (200, 8, 8, 1)
    assert all(image.tobytes() in rows for image in given[0])
    assert len({image.tobytes() for image in given[0]}) > 190
    assert all(np.array_equal(images, given[0]) for images in given)


def test_what_could_not_be_made_is_one_line_each_and_left_out(trained, monkeypatch):
    convert = SavedModel.to_tflite

    def to_tflite(self, name="fp32", representative=None):
        if name == "int16x8":
            raise FormatError("Model 'x' cannot be int16x8:\n no kernels for ODD", name, ["ODD"])
        return convert(self, name, representative)

    monkeypatch.setattr(SavedModel, "to_tflite", to_tflite)
    said = []
    front = export(trained, ("dynamic", "int16x8"), jobs=1, say=said.append)
    failures = [line for line in said if line.startswith("Not exported")]
    assert failures == [
        f"Not exported: {point.name} as int16x8: Model 'x' cannot be int16x8: no kernels for ODD"
        for point in front
    ]
    for point in front:
        assert "int16x8" not in point.files
        assert "dynamic" in point.files


def test_only_points_asked_for_and_each_kept_file_tested_once(trained, tmp_path, monkeypatch):
    workdir = Workdir(shutil.copytree(trained.place, tmp_path / "run"))
    say = []
    front = export(workdir, ("fp16",), points="p00", jobs=1, say=say.append)
    assert say[0] == f"Exporting 1 of {len(front)} points (p00) as fp16."
    first, *others = front
    assert all("fp16" not in point.files for point in others)
    test = make_recipe(workdir.config()).data.test
    model = keras.saving.load_model(workdir.place / first.files["keras"], compile=False)
    right = np.argmax(model.predict(test.images, verbose=0), axis=-1) == test.labels
    assert abs(first.tested["fp16"]["accuracy"] - right.mean()) < 0.01
    entry = Manifest.load(workdir.place).find("p00", "fp16")
    assert entry.test["metrics"] == first.tested["fp16"]
    assert entry.test["examples"] == len(test.images)

    def again(*arguments, **keywords):
        raise AssertionError("test data was measured twice")

    monkeypatch.setattr("keras_joslim.tflite.measure_test", again)
    assert export(workdir, ("fp16",), points="p00", jobs=1, say=say.append)["p00"] == first


def test_a_dominated_file_never_sees_test_data(trained, tmp_path, monkeypatch):
    """The larger network's int8 file has the greater loss: nobody would ship it."""
    workdir = Workdir(shutil.copytree(trained.place, tmp_path / "run"))

    def judged(file, judge, network=None):
        loss = 2.0 if "p00" in str(file) else 3.0
        return {"metrics": {"loss": loss}, "examples": 1, "data": judge.sha256}

    for module in ("export", "evaluation"):
        name = f"keras_joslim.tflite.{module}"
        monkeypatch.setattr(sys.modules[name], "judged", judged)
    (workdir.place / "manifest.json").unlink(missing_ok=True)
    front = export(workdir, ("int8",), jobs=1, say=lambda line: None)
    assert len(front) > 1
    assert [point.name for point in front if point.tested.get("int8")] == ["p00"]


def test_points_in_one_file(trained, tmp_path):
    workdir = Workdir(shutil.copytree(trained.place, tmp_path / "run"))
    said = []
    report = export_one_file(workdir, "all", say=said.append)
    file = tflite.SingleFile(workdir.single_file)
    front = workdir.front()
    assert set(file.points) == {point.name for point in front}
    images = make_recipe(workdir.config()).data.validation.images[20:24]
    for point in front:
        model = keras.saving.load_model(workdir.place / point.files["keras"], compile=False)
        expected = model.predict(images, verbose=0)
        np.testing.assert_allclose(file.run(point.name, images), expected, atol=1e-4)
    told = json.loads(workdir.single_file.with_suffix(".json").read_text())
    assert told["bytes"] == report.bytes == workdir.single_file.stat().st_size
    assert told["points"]["p00"]["widths"] == list(front["p00"].widths)
    assert said[0].startswith(f"One file of {len(front)} points: {report.bytes:,} bytes, ")


def test_the_recipe_says_whether_files_hold_metadata(trained, tmp_path, monkeypatch):
    workdir = Workdir(shutil.copytree(trained.place, tmp_path / "run"))
    config = workdir.config()
    assert config["export"].pop("embed_metadata") is False
    given = []

    def told(models, directory, formats, **options):
        given.append(options["embed_metadata"])
        raise ValueError("that is enough")

    monkeypatch.setattr(tflite, "export", told)
    # A workdir of before has no such field.
    for fields in ({}, {"embed_metadata": False}, {"embed_metadata": True}):
        workdir.claim({**config, "export": {**config["export"], **fields}})
        with pytest.raises(ValueError, match="that is enough"):
            export(workdir, ("fp16",), points="p00", jobs=1, say=lambda line: None)
    assert given == [False, False, True]


def test_what_was_exported_is_profiled_and_the_rest_is_told(trained, tmp_path):
    workdir = Workdir(shutil.copytree(trained.place, tmp_path / "run"))
    export(workdir, ("fp16",), points="p00", jobs=1, say=lambda line: None)
    # As a run of an older release, which knew nothing of threads.
    workdir.claim({**workdir.config(), "profile": {"processes": 1, "runs": 50}})
    said = []
    front = profile(workdir, ["fp16"], say=said.append, runs=1)
    others = ", ".join(point.name for point in front if point.name != "p00")
    assert said[0] == f"Not profiled, for they have no fp16 file: {others}."
    assert front["p00"].latency["host"]["fp16"]["median"] > 0
    assert all("host" not in point.latency for point in front if point.name != "p00")
    assert "host" in Manifest.load(workdir.place).find("p00", "fp16").latency
    with pytest.raises(ValueError, match="No point has a fp32 file. Make them with `joslim export"):
        profile(workdir, ["fp32"], say=said.append)
