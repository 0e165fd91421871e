"""`export.fine_tuning` of a config: what reaches the training, and what is refused before it."""

import dataclasses
import importlib
import importlib.util

import numpy as np
import pytest

from keras_joslim import models
from keras_joslim.app.export import export
from keras_joslim.app.fine_tuning import fine_tuning_fields, make_fine_tuning
from keras_joslim.app.recipe import make_recipe
from keras_joslim.app.workdir import Workdir
from keras_joslim.configs import cifar_resnet, digits, glyphs
from keras_joslim.front import ParetoFront
from keras_joslim.tflite.formats import FormatError
from keras_joslim.tflite.manifest import Manifest
from keras_joslim.tflite.qat.settings import FineTuning
from tests.tflite.manifest_entries import entry

MODULE = importlib.import_module("keras_joslim.tflite.export")
APP = importlib.import_module("keras_joslim.app.export")
PACKAGES = importlib.import_module("keras_joslim.app.format_packages")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A workdir as the training leaves it, of a network that nothing was trained on."""
    config = digits.get_config()
    config.model.options = {"width": 0.25}
    config.export.fine_tuning.steps = 7
    config.export.fine_tuning.sparsity = 0.25
    workdir = Workdir(tmp_path_factory.mktemp("app") / "run")
    workdir.claim(config.to_dict())
    recipe = make_recipe(workdir.config())
    front = ParetoFront.build(
        recipe.model,
        recipe.model.width_space.smallest[None],
        (recipe.data.validation.images[:60], recipe.data.validation.labels[:60]),
        recipe.calibration_batches()[:1],
        progress=False,
    )
    front.save_models(workdir.place).save(workdir.front_file)
    return workdir


@pytest.fixture
def recipe(trained):
    return make_recipe(trained.config())


def config_with(**fields):
    return {**digits.get_config().to_dict(), "export": {"formats": ["qat"], "fine_tuning": fields}}


def test_every_recipe_has_the_fields_and_they_fit():
    for config in (digits.get_config(), glyphs.get_config(), cifar_resnet.get_config()):
        fields = fine_tuning_fields(config.to_dict())
        assert sorted(fields) == sorted(
            ["steps", "batch_size", "learning_rate", "distillation", "clusters", "sparsity", "int8"]
        )
        FineTuning(np.zeros((1, 2)), "mse", np.zeros((1, 2)), **fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"epochs": 3}, r"export.fine_tuning has the fields steps, .*also \['epochs'\]"),
        ({"steps": 0}, r"whole number from 1. Received: export.fine_tuning.steps=0"),
        ({"learning_rate": -1.0}, r"positive number. Received: export.fine_tuning.learning_rate"),
        ({"sparsity": "half"}, r"share in \(0, 1\). Received: export.fine_tuning.sparsity='half'"),
        ({"int8": None}, "True or False. Received: export.fine_tuning.int8=None"),
    ],
)
def test_fields_that_do_not_fit_are_refused_before_the_training(fields, message):
    with pytest.raises(ValueError, match=message):
        make_recipe(config_with(**fields))


def test_points_learn_from_the_full_network_on_training_images(trained, recipe):
    made = make_fine_tuning(trained, trained.front(), recipe, ("fp32", "prune"))
    assert np.array_equal(made.images, recipe.data.train.images)
    assert np.array_equal(made.labels, recipe.data.train.labels)
    assert made.loss is recipe.model.loss
    assert (made.steps, made.sparsity, made.batch_size) == (7, 0.25, 64)
    full = models.build("digits_cnn", input_shape=(8, 8, 1), classes=10, width=0.25)
    assert made.teacher.count_params() == full.count_params()
    assert make_fine_tuning(trained, trained.front(), recipe, ("fp32", "int8")) is None


def test_a_run_without_the_fields_or_the_teacher(trained, recipe):
    front = trained.front()
    old = dataclasses.replace(recipe, config={**recipe.config, "export": {"formats": ["fp32"]}})
    made = make_fine_tuning(trained, front, old, ("qat",))
    default = FineTuning(made.train_data, made.loss, made.teacher)
    assert made.settings("qat") == default.settings("qat")
    assert made.settings("prune") == default.settings("prune")
    bare = front.with_points(front.points, [end.replace(files={}) for end in front.ends])
    with pytest.raises(ValueError, match="no model of the full network.*distillation=0"):
        make_fine_tuning(trained, bare, recipe, ("qat",))
    alone = dataclasses.replace(recipe, config=config_with(distillation=0.0))
    assert make_fine_tuning(trained, bare, alone, ("qat",)).teacher is None


def test_export_passes_it_on_and_tells_what_failed(trained, monkeypatch):
    given = []

    def quantization_aware(model, fine_tuning, mode, tolerance):
        given.append(fine_tuning.settings(mode))
        raise FormatError("no kernel for ODD (layer 'odd')", mode)

    monkeypatch.setattr(MODULE, "quantization_aware", quantization_aware)
    for module in (PACKAGES, MODULE):
        monkeypatch.setattr(module, "require_tfmot", lambda: None)
    said = []
    with pytest.raises(ValueError, match="No point could be exported as prune: see above"):
        export(trained, ("prune",), points="p00", jobs=1, say=said.append)
    assert said[1:] == ["Not exported: p00 as prune: no kernel for ODD (layer 'odd')"]
    (settings,) = given
    assert (settings["steps"], settings["sparsity"], settings["distillation"]) == (7, 0.25, 1)


def test_a_package_that_is_missing_is_told_before_anything_is_made(trained, monkeypatch):
    looked_for = []

    def missing():
        looked_for.append(True)
        raise ValueError("not installed")

    monkeypatch.setattr(PACKAGES, "require_tfmot", missing)
    monkeypatch.setattr(APP, "make_recipe", lambda config: pytest.fail("data were loaded"))
    said = []
    with pytest.raises(ValueError, match="not installed"):
        export(trained, ("fp32", "qat"), points="p00", jobs=1, say=said.append)
    assert said == []
    assert looked_for == [True]


def test_the_quantizer_is_looked_for_where_a_file_is_to_be_made(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    workdir = Workdir(tmp_path / "run")
    workdir.place.mkdir()
    PACKAGES.refuse_missing_packages(workdir, ("fp32", "int8"))
    message = r"litert_int8 needs litert_quantizer.* pip install 'keras_joslim\[quantizer\]'"
    with pytest.raises(ValueError, match=message):
        PACKAGES.refuse_missing_packages(workdir, ("fp32", "litert_int8"))
    Manifest((entry(point="p00", format="litert_int8"),)).save(workdir.place / "manifest.json")
    PACKAGES.refuse_missing_packages(workdir, ("fp32", "litert_int8"), ["p00"])
    with pytest.raises(ValueError, match=message):
        PACKAGES.refuse_missing_packages(workdir, ("litert_int8",), ["p00", "p01"])


def test_packages_are_looked_for_where_a_file_is_to_be_trained(tmp_path, monkeypatch):
    def missing():
        raise ValueError("not installed")

    monkeypatch.setattr(PACKAGES, "require_tfmot", missing)
    workdir = Workdir(tmp_path / "run")
    workdir.place.mkdir()
    PACKAGES.refuse_missing_packages(workdir, ("fp32", "int8"))
    with pytest.raises(ValueError, match="not installed"):
        PACKAGES.refuse_missing_packages(workdir, ("fp32", "prune"))
    # Files that are there are kept, and need nothing.
    files = tuple(entry(point="p00", format=name) for name in ("fp32", "prune"))
    Manifest(files).save(workdir.place / "manifest.json")
    PACKAGES.refuse_missing_packages(workdir, ("fp32", "prune"), ["p00"])
    for formats, points in ((("prune",), ["p00", "p01"]), (("qat",), ["p00"])):
        with pytest.raises(ValueError, match="not installed"):
            PACKAGES.refuse_missing_packages(workdir, formats, points)
