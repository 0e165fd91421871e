"""`joslim platforms`: a run for several platforms, the point and file of each, drawn weights."""

import json

import numpy as np
import pytest

from configs.digits import get_config
from keras_joslim.app import methods
from keras_joslim.app import recipe as recipes
from keras_joslim.app import train as training
from keras_joslim.app.platforms import platforms
from keras_joslim.app.recipe import make_recipe
from keras_joslim.app.train import train
from keras_joslim.app.workdir import Workdir
from keras_joslim.datasets import Dataset, Split
from keras_joslim.search import restaurant_weights

PLATFORMS = (
    {"name": "phone", "cost": "macs", "budgets": [60000.0, 150000.0], "weight": 3.0},
    {"name": "watch", "cost": "parameters", "budgets": 6000.0, "format": "fp16"},
)


def _config(strategy="joslim", given=PLATFORMS):
    """Fourteen steps on the digits, its numbers small."""
    config = get_config()
    config.method.name = "platforms"
    config.method.strategy = strategy
    config.platforms = given
    config.method.tau = 2
    config.method.prior_points = 4
    config.method.calibration_size = 60
    config.train.epochs = 1
    config.train.warmup_epochs = 0
    config.train.batch_size = 72
    config.calibration.batches = 1
    config.front.networks = 5
    config.slim.choices = 3
    return json.loads(config.to_json())


def _quiet(*_):
    return None


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workdir = Workdir(tmp_path_factory.mktemp("platforms") / "run")
    train(workdir, _config(), say=_quiet)
    return workdir


def test_every_platform_gets_its_point_and_file(trained):
    said = []
    content = platforms(trained, say=said.append)
    assert json.loads((trained.path / "platforms.json").read_text()) == content
    judged = trained.front().history
    losses = np.array([entry["loss"] for entry in judged])
    for row, name, budget in zip(
        content["points"],
        ("macs", "macs", "parameters"),
        (60000, 150000, 6000),
        strict=True,
    ):
        costs = np.array([entry[name] for entry in judged])
        best = judged[int(np.argmin(np.where(costs <= budget, losses, np.inf)))]
        assert row["widths"] == best["widths"]
        assert row["cost"] == best[name] <= row["budget"] == budget
        assert row["validation"]["loss"] == pytest.approx(best["loss"], rel=1e-5)
        assert (trained.path / row["file"]).is_file()
        assert 0 <= row["test"]["accuracy"] <= 1
    formats = [row["format"] for row in content["points"]]
    assert formats == ["fp32", "fp32", "fp16"]
    assert [row["file"].split(".")[-2] for row in content["points"]] == formats
    assert [row["weight"] for row in content["points"]] == [0.375, 0.375, 0.25]
    for split in ("validation", "test"):
        accuracies = [row[split]["accuracy"] for row in content["points"]]
        expected = np.dot([0.375, 0.375, 0.25], accuracies)
        assert content["weighted"][split]["accuracy"] == pytest.approx(expected)
    lines = "\n".join(said).splitlines()
    assert any(line.split()[:4] == ["phone", "0.375", "60,000", "MACs"] for line in lines)
    assert any(line.startswith("weighted accuracy: ") for line in lines)

    # Again: nothing is judged, trained or tested another time; the files stay.
    files = {
        row["file"]: (trained.path / row["file"]).stat().st_mtime_ns for row in content["points"]
    }
    assert platforms(trained, say=_quiet) == content
    assert files == {file: (trained.path / file).stat().st_mtime_ns for file in files}

    # Other weights: another mean of the same points.
    drawn = platforms(trained, alpha=1.0, seed=3, say=_quiet)
    first, second = restaurant_weights(2, 1.0, 3)
    assert [row["weight"] for row in drawn["points"]] == [first / 2, first / 2, second]
    assert [row["point"] for row in drawn["points"]] == [row["point"] for row in content["points"]]
    accuracies = [row["test"]["accuracy"] for row in content["points"]]
    expected = np.dot([first / 2, first / 2, second], accuracies)
    assert drawn["weighted"]["test"]["accuracy"] == pytest.approx(expected)
    assert drawn["alpha"] == 1.0


def test_weights_are_drawn_for_a_run_that_is_not_trained(tmp_path):
    said = []
    workdir = Workdir(tmp_path / "none")
    drawn = platforms(workdir, alpha=0.7, seed=5, config=_config(), say=said.append)
    expected = restaurant_weights(2, 0.7, 5).tolist()
    assert drawn == {"alpha": 0.7, "seed": 5, "weights": expected}
    assert said[1] == f"  phone: {expected[0]:g}"
    assert not workdir.path.exists()


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["uniform", "mixture", "averaged", "argmax", "largest"])
def test_every_strategy_goes_from_training_to_points(tmp_path, strategy):
    workdir = Workdir(tmp_path / "run")
    train(workdir, _config(strategy), say=_quiet)
    content = platforms(workdir, say=_quiet)
    for row in content["points"]:
        assert row["cost"] <= row["budget"]


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["joslim", "mixture"])
def test_a_killed_run_ends_as_one_that_was_not(tmp_path, monkeypatch, strategy):
    config = _config(strategy)
    config["checkpoint"]["every_steps"] = 5
    whole = train(Workdir(tmp_path / "whole"), config, say=_quiet)

    class Killed(BaseException):
        pass

    def stop(workdir, recipe):
        save(workdir, recipe)
        if int(recipe.model.optimizer.iterations) >= 10:
            raise Killed

    save = training.save_history
    workdir = Workdir(tmp_path / "killed")
    monkeypatch.setattr(training, "save_history", stop)
    with pytest.raises(Killed):
        train(workdir, config, say=_quiet)
    monkeypatch.setattr(training, "save_history", save)
    said = []
    front = train(workdir, config, say=said.append)
    assert "Going on at step 10 of 14." in said
    assert front.history == whole.history


@pytest.mark.slow
def test_test_data_chooses_nothing(tmp_path, monkeypatch, trained):
    load = recipes.datasets.load

    def noisy(**options):
        data = load(**options)
        labels = np.random.default_rng(0).permutation(data.test.labels)
        test = Split(data.test.images, labels)
        return Dataset(data.name, data.train, data.validation, test, data.num_classes)

    honest = platforms(trained, say=_quiet)
    monkeypatch.setattr(recipes.datasets, "load", noisy)
    workdir = Workdir(tmp_path / "noisy")
    train(workdir, _config(), say=_quiet)
    other = platforms(workdir, say=_quiet)
    for row, noisy_row in zip(honest["points"], other["points"], strict=True):
        assert row["widths"] == noisy_row["widths"]
        assert row["validation"] == noisy_row["validation"]
        assert row["test"]["loss"] != noisy_row["test"]["loss"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((), "The config has no platforms"),
        (({"name": "a", "cost": "macs"},), "this one lacks 'budgets'"),
        (({"name": "a", "cost": "macs", "budgets": 9, "wieght": 2},), "no field 'wieght'"),
        (({**PLATFORMS[0], "weight": -1.0},), "weight of platform 'phone'.*weight=-1.0"),
        (({**PLATFORMS[0], "weight": 0},), "must add up to something above 0"),
        ((PLATFORMS[0], PLATFORMS[0]), "Two platforms are called 'phone'"),
        (({**PLATFORMS[0], "cost": "watts"},), "A cost is one of .* Received: cost='watts'"),
    ],
)
def test_platforms_of_the_config_are_checked(given, message):
    with pytest.raises(ValueError, match=message):
        make_recipe(_config(given=given))


def test_an_unknown_strategy_and_a_budget_too_small_are_told_before_training(tmp_path):
    with pytest.raises(ValueError, match="strategy must be one of .*strategy='best'"):
        make_recipe(_config("best"))
    tight = {**PLATFORMS[0], "budgets": 10.0}
    with pytest.raises(ValueError, match="platform 'phone' is below.* 21360 MACs"):
        train(Workdir(tmp_path / "tight"), _config(given=(tight,)), say=_quiet)
    assert not (tmp_path / "tight").exists()


def test_a_format_that_latencies_were_not_measured_of_is_refused(monkeypatch, trained):
    make_cost = methods.make_cost

    def measured(name, model):
        cost = make_cost(name, model)
        cost.facts = {"format": "int8"}
        return cost

    monkeypatch.setattr(methods, "make_cost", measured)
    with pytest.raises(ValueError, match="'watch' was fitted to int8 files.*format='fp16'"):
        platforms(trained, say=_quiet)
    # A training would be for nothing.
    with pytest.raises(ValueError, match="'watch' was fitted to int8 files.*format='fp16'"):
        make_recipe(_config())


def test_a_format_that_there_is_not_is_told_before_training():
    with pytest.raises(ValueError, match="int9"):
        make_recipe(_config(given=({**PLATFORMS[0], "format": "int9"},)))


def test_a_config_of_another_run_is_refused(trained):
    with pytest.raises(ValueError, match="holds a run of another config: platforms"):
        platforms(trained, config=_config(given=PLATFORMS[:1]), say=_quiet)


def test_what_the_command_refuses(tmp_path, trained):
    with pytest.raises(ValueError, match="both or neither. Received: alpha=1.0, seed=None"):
        platforms(trained, alpha=1.0, say=_quiet)
    with pytest.raises(ValueError, match="There is no run in"):
        platforms(Workdir(tmp_path / "none"), say=_quiet)
