"""`joslim export` in several formats: what is measured, what could not be made, one line each."""

import numpy as np
import pytest

from keras_joslim.app.export import export
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
