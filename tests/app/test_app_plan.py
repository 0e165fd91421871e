"""The plan of a run: counts that a simulated run has too, and lines that say them."""

import inspect
import json
import math

import numpy as np
import pytest

from keras_joslim.app.plan import _amount, _duration, plan, searches_of
from keras_joslim.app.recipe import load_data
from keras_joslim.configs import (
    digits,
    imagenet,
    imagenet_mobilenet_v2,
    imagenet_mobilenet_v3,
    imagenet_resnet18,
    imagenet_resnet50,
)
from keras_joslim.datasets.image_files import load_image_folder, load_tfds, load_tfrecord
from tests.datasets.image_files.photos import write_folders

IMAGENET = 1_281_167


@pytest.mark.parametrize("budget", [None, 12])
@pytest.mark.parametrize(("steps", "tau"), [(100, 10), (101, 10), (7, 10)])
def test_searches_are_those_of_a_run_step_by_step(steps, tau, budget):
    history, measured, count = 0, 0, 0
    for step in range(steps):
        if step % tau == 0:
            measured += history if budget is None else min(history, budget)
            history += 2
            count += 1
    searches = searches_of(steps, tau, num_sampled=2, budget=budget)
    assert (searches.count, searches.history) == (count, history)
    assert searches.measured == measured + history


def test_the_published_overhead_of_the_search():
    """Counted in batches that pass forwards: T / (4 tau^2), 20 % on ImageNet."""
    steps, tau = 250 * 1251, 625
    measured = searches_of(steps, tau, num_sampled=2, budget=None).measured
    assert measured / (4 * steps) == pytest.approx(steps / (4 * tau**2), rel=0.01)
    assert measured / (4 * steps) == pytest.approx(0.2, rel=0.01)


@pytest.mark.parametrize(
    "recipe",
    [imagenet_mobilenet_v2, imagenet_mobilenet_v3, imagenet_resnet18, imagenet_resnet50],
)
@pytest.mark.parametrize("batch", [1024, 256, 2048])
def test_an_imagenet_history_has_a_thousand_networks_at_any_batch(recipe, batch):
    config = recipe.get_config()
    config.train.batch_size = batch
    config = json.loads(config.to_json())
    steps = config["train"]["epochs"] * (IMAGENET // batch)
    searches = searches_of(steps, config["method"]["tau"], config["method"]["num_sampled"], None)
    assert searches.history == pytest.approx(1000, rel=0.01)
    assert config["train"]["learning_rate"] == pytest.approx(0.5 * batch / 1024)
    assert type(config["method"]["tau"]) is int


def test_the_base_of_the_imagenet_recipes_is_no_recipe():
    assert "name" not in imagenet.get_config().model


def test_the_options_of_the_loaders_are_fields_of_the_recipes(tmp_path):
    config = json.loads(imagenet_resnet18.get_config().to_json())
    for loader in (load_image_folder, load_tfrecord, load_tfds):
        assert set(inspect.signature(loader).parameters) <= set(config["data"])
    root = write_folders(tmp_path / "photos", {"train": 8, "val": 3})
    config["data"] |= {"directory": str(root), "size": 8, "validation": 6}
    data = load_data(config)
    assert [len(split) for split in data.splits.values()] == [18, 6, 9]
    config["data"]["dataset"] = "imagenet2012"
    with pytest.raises(ValueError, match="'image_folder' has no option 'dataset'"):
        load_data(config)


def test_a_plan_says_what_a_run_will_be():
    config = digits.get_config()
    config.train.epochs = 4
    config.train.batch_size = 64
    config.train.warmup_epochs = 1
    config.method.tau, config.method.prior_points = 8, 4
    config.checkpoint.every_steps = 5
    lines = []
    facts = plan(json.loads(config.to_json()), say=lambda text: lines.extend(text.splitlines()))
    steps = 4 * (1077 // 64)
    assert facts["steps"] == steps
    assert facts["searches"].history == 2 * math.ceil(steps / 8)
    assert facts["macs"] == 274_008
    text = "\n".join(lines)
    assert f"{steps} steps of 4 networks each, {4 * steps} passes" in text
    assert f"the history ends with {facts['searches'].history} networks" in text
    assert "every 5 steps; 2 are kept" in text
    assert facts["memory"] > 1e8
    assert all(np.isfinite(v) and v > 0 for v in facts["seconds"].values())
    # Weights and momenta, of 4 bytes each, and little else.
    assert 2 * 4 * facts["parameters"] < facts["checkpoint"] < 3 * 4 * facts["parameters"]


def test_a_history_of_uniform_networks_alone_is_told():
    config = digits.get_config()
    config.train.epochs, config.train.warmup_epochs = 1, 0
    config.method.tau = 50
    lines = []
    plan(json.loads(config.to_json()), say=lines.append)
    assert any("nothing would be searched. Lower method.tau" in line for line in lines)


def test_numbers_have_the_unit_that_fits():
    assert [_amount(n) for n in (12, 4_500, 2_000_000, 3.21e9, 5e12)] == [
        *("12 B", "4.5 kB", "2 MB", "3.21 GB", "5,000 GB")
    ]
    assert [_duration(s) for s in (5, 600, 7200, 864000)] == ["5.0 s", "10.0 min", "2.0 h"] + [
        "10.0 days"
    ]
