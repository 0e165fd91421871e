"""The recipes in configs/: their fields fit together, build, and are checked when overridden."""

import json
import math

import pytest
from absl import flags
from ml_collections import config_flags

from keras_joslim import datasets, models
from keras_joslim.app.recipe import load_data
from keras_joslim.configs import cifar_resnet, digits, glyphs

RECIPES = [
    digits.get_config(),
    glyphs.get_config(),
    *(
        cifar_resnet.get_config(f"resnet{depth},{data}")
        for depth in (20, 32, 44, 56)
        for data in ("cifar10", "cifar100")
    ),
]


def history_size(config, images):
    steps = config.train.epochs * (images // config.train.batch_size)
    return config.method.num_sampled * math.ceil(steps / config.method.tau)


@pytest.mark.parametrize("config", RECIPES, ids=lambda config: config.data.name)
def test_all_recipes_have_the_same_fields_and_are_json(config):
    def fields(node):
        return {
            key: fields(value) if key not in ("data", "options") and hasattr(value, "keys") else 0
            for key, value in node.items()
        }

    assert fields(config) == fields(RECIPES[0])
    json.dumps(config.to_dict())


# ResNet-20 on both, digits and glyphs: the deeper ones are built in test_cifar_resnet.py.
@pytest.mark.parametrize("config", RECIPES[:4], ids=lambda config: config.data.name)
def test_models_build_at_the_shape_of_their_data(config):
    shape, classes = {
        "digits": ((8, 8, 1), 10),
        "glyphs": ((32, 32, 3), 100),
        "cifar10": ((32, 32, 3), 10),
        "cifar100": ((32, 32, 3), 100),
    }[config.data.name]
    options = config.model.options.to_dict()
    model = models.build(config.model.name, input_shape=shape, classes=classes, **options)
    assert model.output_shape == (None, classes)
    datasets.crop_and_flip(**config.train.augment.to_dict())


def test_digits_recipe_loads_and_visits_enough_widths():
    config = digits.get_config()
    data = load_data({"data": config.data.to_dict()})
    assert data.image_shape == (8, 8, 1)
    assert history_size(config, len(data.train)) >= 60
    assert config.method.calibration_size <= len(data.validation)
    assert config.calibration.batches * config.calibration.batch_size <= len(data.train)


def test_glyphs_recipe_loads_and_is_as_long_as_it_says():
    config = glyphs.get_config()
    sizes = {key: value for key, value in config.data.items() if key.endswith("_size")}
    # As many images as the recipe says would take seconds to draw: a hundredth shows that they fit.
    data = datasets.load(config.data.name, **{key: size // 100 for key, size in sizes.items()})
    assert {f"{name}_size": 100 * len(part) for name, part in data.splits.items()} == sizes
    assert config.train.epochs * (config.data.train_size // config.train.batch_size) == 6000
    assert history_size(config, config.data.train_size) == 120
    assert config.method.calibration_size <= config.data.validation_size
    assert config.calibration.batches * config.calibration.batch_size <= config.data.train_size


def test_cifar_recipe_is_the_published_one():
    config = cifar_resnet.get_config()
    assert config.model.options.depth == 20
    assert config.data.name == "cifar10"
    train, method = config.train, config.method
    assert (train.epochs, train.batch_size, train.learning_rate) == (400, 128, 0.1)
    assert (train.weight_decay, train.momentum, train.nesterov) == (5e-4, 0.9, True)
    assert (train.schedule, train.augment.padding, train.augment.flip) == ("linear", 4, True)
    assert (method.tau, method.num_sampled, method.prior_points) == (313, 2, 20)
    assert config.slim.min_width == 0.316
    assert history_size(config, 50_000) == 998
    assert history_size(config, 50_000 - config.data.validation_size) == 898


@pytest.mark.parametrize("recipe", ["resnet18,cifar10", "resnet20,imagenet", "resnet20", ""])
def test_a_recipe_that_does_not_exist_is_refused(recipe):
    with pytest.raises(ValueError, match=rf"'resnet56'.*'cifar100'.*recipe='{recipe}'"):
        cifar_resnet.get_config(recipe)


# ml_collections 1.1 loads a config file in an old way of importlib's.
old_loader = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")


def parse(*arguments):
    values = flags.FlagValues()
    command = ["joslim", *arguments]
    holder = config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=command)
    values(command)
    return holder.value


@old_loader
def test_fields_are_overridden_on_the_command_line():
    config = parse(
        f"--config={cifar_resnet.__file__}:resnet56,cifar100",
        "--config.train.epochs=2",
        "--config.data.directory=elsewhere",
        "--config.slim.choices=8",
        "--config.slim.skip=('stem_*',)",
    )
    assert config.model.options.depth == 56
    assert config.data.name == "cifar100"
    assert (config.train.epochs, config.data.directory) == (2, "elsewhere")
    assert (config.slim.choices, config.slim.skip) == (8, ("stem_*",))
    assert parse(f"--config={digits.__file__}").slim.choices is None


@old_loader
def test_unknown_fields_are_refused():
    with pytest.raises(AttributeError, match=r"\"epochs\" instead of \"epoch\""):
        parse(f"--config={digits.__file__}", "--config.train.epoch=2")
