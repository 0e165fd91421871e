"""The options of long runs, from a config to files: precision, parts, averages, executions."""

import json

import keras
import numpy as np
import pytest

from configs.digits import get_config
from keras_joslim.app import recipe
from keras_joslim.app.export import export
from keras_joslim.app.long_runs import LongRun, long_run
from keras_joslim.app.recipe import make_recipe
from keras_joslim.app.train import train, train_weights
from keras_joslim.app.workdir import Workdir
from keras_joslim.datasets import Dataset, Split


def _config(**train_fields):
    """Sixteen steps of four periods on the digits."""
    config = get_config()
    config.method.tau = 4
    config.method.prior_points = 4
    config.method.calibration_size = 60
    config.train.epochs = 1
    config.train.warmup_epochs = 0
    config.calibration.batches = 1
    config.front.networks = 3
    config.slim.choices = 3
    config.export.formats = ("fp32",)
    config = json.loads(config.to_json())
    config["train"].update(train_fields)
    return config


def _quiet(*_):
    pass


@pytest.mark.parametrize(
    ("precision", "parts"),
    [
        pytest.param("mixed_float16", 1, marks=pytest.mark.slow),
        pytest.param("mixed_bfloat16", 2, marks=pytest.mark.slow),
    ],
)
def test_mixed_precision_parts_and_averages_end_in_float32_files_of_the_average(
    tmp_path, monkeypatch, precision, parts
):
    load = recipe.datasets.load

    def small(**options):
        """Half precision is slow on a CPU: 128 images are four steps."""
        data = load(**options)
        parts = [Split(s.images[:128], s.labels[:128]) for s in data.splits.values()]
        return Dataset(data.name, *parts, data.num_classes)

    monkeypatch.setattr(recipe.datasets, "load", small)
    config = _config(precision=precision, accumulate=parts, ema=0.5, batch_size=32)
    config["method"]["tau"] = 1
    workdir = Workdir(tmp_path / "run")
    train(workdir, config, say=_quiet)
    assert keras.config.dtype_policy().name == "float32"
    full = keras.saving.load_model(workdir.models / "full.keras")
    policies = {layer.dtype_policy.name for layer in full._flatten_layers()}
    assert policies == {"float32"}
    # The weights of the file are averages that the checkpoint has with the optimizer's variables,
    # not the trained ones.
    with np.load(sorted(workdir.checkpoints.iterdir())[-1] / "variables.npz") as saved:
        for weight in full.trainable_weights:
            found = [
                name.split("/")[0]
                for name, array in saved.items()
                if array.shape == weight.shape and np.array_equal(array, weight.numpy())
            ]
            assert found == ["optimizer"], weight.path
    # The front's losses are those of float32 networks: their files have the same.
    point = export(workdir, points="p00", say=_quiet)["p00"]
    assert abs(point.deployed["fp32"]["loss"] - point.validation["loss"]) < 1e-4


def test_a_recipe_of_mixed_precision_trains_halves_and_scales_the_loss():
    model = make_recipe(_config(precision="mixed_float16")).model
    head = model.network.outputs[0]._keras_history.operation
    assert head.compute_dtype == "float32"
    others = [layer for layer in model.network.layers if layer.weights and layer is not head]
    assert {layer.compute_dtype for layer in others} == {"float16"}
    assert {w.dtype for w in model.trainable_weights} == {"float32"}
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)


def test_an_epoch_is_a_whole_number_of_executions():
    """Of the digits' sixteen steps fifteen: executions of five; the stream goes on by the step."""
    made = make_recipe(_config(steps_per_execution=5, epochs=2) | {"method": _fixed()})
    assert made.stream.steps_per_epoch == 16
    assert (made.steps_per_epoch, made.steps) == (15, 30)
    with pytest.raises(ValueError, match="An epoch has 16 steps.*steps_per_execution=17"):
        make_recipe(_config(steps_per_execution=17))


def _fixed():
    return {**_config()["method"], "name": "fixed"}


def _without_new_fields(config):
    old = json.loads(json.dumps(config))
    for section, names in (
        ("train", ("precision", "accumulate", "ema")),
        ("checkpoint", ("keep_last", "keep_every_hours")),
    ):
        for name in names:
            del old[section][name]
    return old


def test_a_config_of_before_means_the_defaults(tmp_path):
    config = _config()
    old = _without_new_fields(config)
    assert long_run(old) == long_run(config) == LongRun()
    # A run of it goes on with the recipe of today, and the other way round.
    workdir = Workdir(tmp_path)
    workdir.claim(old)
    (tmp_path / "checkpoint" / "step-000000001").mkdir(parents=True)
    workdir.claim(config)
    workdir.claim(old)
    with pytest.raises(ValueError, match=r"train\.ema was None, now 0\.9"):
        workdir.claim(_config(ema=0.9))


def test_how_checkpoints_are_kept_may_change_in_a_run(tmp_path):
    workdir, config = Workdir(tmp_path), _config()
    workdir.claim(config)
    (tmp_path / "checkpoint" / "step-000000001").mkdir(parents=True)
    other = {**config, "checkpoint": {"every_steps": 7, "keep_last": 1, "keep_every_hours": 2.0}}
    workdir.claim(other)
    assert workdir.config() == other


@pytest.mark.parametrize(
    ("section", "field", "value", "message"),
    [
        ("train", "precision", "float16", "train.precision is one of float32, mixed_float16"),
        ("train", "accumulate", 0, "train.accumulate must be a whole number, at least 1"),
        ("train", "accumulate", 65, "at most train.batch_size=64"),
        ("train", "ema", 1, "train.ema is the momentum.*Received: train.ema=1"),
        ("checkpoint", "keep_last", 0, "checkpoint.keep_last must be a whole number, at least 1"),
        ("checkpoint", "keep_every_hours", -1, "keep_every_hours is a number above 0, or None"),
    ],
)
def test_a_field_out_of_range_is_refused_by_name(section, field, value, message):
    config = _config()
    config[section][field] = value
    with pytest.raises(ValueError, match=message):
        make_recipe(config)


def test_a_run_whose_checkpoints_are_lost_does_not_begin_anew(tmp_path):
    made = make_recipe(_config())
    workdir = Workdir(tmp_path)
    workdir.logs.mkdir(parents=True)
    (workdir.logs / "epochs.jsonl").write_text('{"epoch": 0}\n')
    with pytest.raises(ValueError, match=r"has been trained, .*epochs\.jsonl says how far, but"):
        train_weights(workdir, made, _quiet)
    assert not any(workdir.checkpoints.glob("step-*"))


def test_a_last_checkpoint_that_cannot_be_written_is_an_error(tmp_path, monkeypatch):
    from keras_joslim import checkpoint_files

    write, said = checkpoint_files.write, []

    def full(folder, arrays, state, facts):
        if state["step"] > 3:
            raise OSError(28, "No space left on device")
        write(folder, arrays, state, facts)

    monkeypatch.setattr(checkpoint_files, "write", full)
    config = _config() | {"method": _fixed()}
    config["checkpoint"]["every_steps"] = 3
    with pytest.raises(OSError, match="goes on from the last one that was written, of step 3"):
        train_weights(Workdir(tmp_path), make_recipe(config), said.append)
    # Steps 6, 9, 12, 15 and the end.
    assert len(said) == 5
    assert sorted(p.name for p in (tmp_path / "checkpoint").iterdir()) == [
        "step-000000000",
        "step-000000003",
    ]
