"""A recipe's config becomes data, a slimmable model, a schedule and a stream of batches."""

import dataclasses

import keras

from keras_joslim import datasets, models
from keras_joslim.app import methods
from keras_joslim.app.fine_tuning import fine_tuning_fields
from keras_joslim.app.long_runs import long_run, steps_per_epoch
from keras_joslim.app.precision import in_precision
from keras_joslim.conversion import make_slimmable
from keras_joslim.distribution.per_worker import synchronize_batch_norm
from keras_joslim.label_smoothing import SmoothedCrossentropy
from keras_joslim.schedules import FrontMonitor, WarmupLinearDecay


@dataclasses.dataclass
class Recipe:
    """All that a run is made of.

    Attributes:
        config: the nested dict of the config file, flags applied.
        data: `datasets.Dataset`.
        model: the compiled `SlimmableModel`, at its initial weights.
        cost: what the front is against.
        schedule: the method's schedule.
        monitor: logs the growth of the front where the schedule does not; else `None`.
        calibration_data: the part of the validation data that a history is measured on.
        stream: training batches as a function of the step.
    """

    config: dict
    data: datasets.Dataset
    model: keras.Model
    cost: object
    schedule: keras.callbacks.Callback
    monitor: keras.callbacks.Callback | None
    calibration_data: tuple
    stream: datasets.Stream | datasets.PhotoStream

    @property
    def epochs(self):
        return self.config["train"]["epochs"]

    @property
    def steps_per_epoch(self):
        """Optimizer steps of an epoch, a whole number of executions."""
        return steps_per_epoch(self.config["train"], self.stream)

    @property
    def steps(self):
        """Optimizer steps of the whole run."""
        return self.epochs * self.steps_per_epoch

    def calibration_batches(self):
        """Batches of training images, not augmented, for BatchNorm calibration."""
        size, count = (self.config["calibration"][k] for k in ("batch_size", "batches"))
        images, _ = self.data.train.arrays(size * count)
        return [images[start : start + size] for start in range(0, len(images), size)]


def make_model(config):
    """The slimmable model of a config dict, not compiled.

    Raises:
        ValueError: a field that is missing or out of range, by name.
    """
    try:
        keras.utils.set_random_seed(config["seed"])
        return _slimmable(config, load_data(config))
    except KeyError as error:
        raise _lacking(error) from None


def _slimmable(config, data):
    def build():
        return models.build(
            config["model"]["name"],
            input_shape=data.image_shape,
            classes=data.num_classes,
            **config["model"]["options"],
        )

    fields = long_run(config)
    network = in_precision(build, fields.precision)
    if fields.sync_batch_norm:
        synchronize_batch_norm(network)
    return make_slimmable(network, **config["slim"])


def _lacking(error):
    return ValueError(f"The config lacks the field {error.args[0]!r}. See the files in configs/.")


def make_recipe(config):
    """Builds a `Recipe` of a config dict.

    Raises:
        ValueError: a field that is missing or out of range, by name.
    """
    try:
        return _make(config)
    except KeyError as error:
        raise _lacking(error) from None


def _make(config):
    _refuse_counts_below_one(config)
    fine_tuning_fields(config)
    fields = long_run(config)
    keras.utils.set_random_seed(config["seed"])
    data = load_data(config)
    train = config["train"]
    stream = data.training_stream(train["batch_size"], config["seed"], train["augment"])
    slim = _slimmable(config, data)
    per_epoch = steps_per_epoch(train, stream)
    steps = train["epochs"] * per_epoch
    slim.compile(
        keras.optimizers.SGD(
            _learning_rate(train, steps, per_epoch),
            momentum=train["momentum"],
            nesterov=train["nesterov"],
            use_ema=fields.ema is not None,
            ema_momentum=fields.ema or 0.99,
        ),
        _loss(train),
        metrics=["accuracy"],
        weight_decay=train["weight_decay"],
        accumulate=fields.accumulate,
        steps_per_execution=train["steps_per_execution"],
    )
    cost = methods.make_cost(config["cost"], slim)
    part = methods.calibration_part(config, data)
    schedule = methods.make_schedule(config, slim, cost, part, steps)
    monitor = None if schedule.keeps_history else FrontMonitor(part, cost)
    return Recipe(config, data, slim, cost, schedule, monitor, part, stream)


def load_data(config):
    """The data set of a config; an option that is `None` is left to the loader.

    Raises:
        ValueError: as `datasets.load`.
    """
    options = {name: value for name, value in config["data"].items() if value is not None}
    return datasets.load(**options)


def _refuse_counts_below_one(config):
    """What is wanted after the training is looked at before it."""
    for section, field in (("search", "evaluations"), ("front", "networks")):
        value = config[section][field]
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(
                f"{section}.{field} is a whole number from 1. Received: {section}.{field}={value!r}"
            )


def _learning_rate(train, steps, per_epoch):
    if train["schedule"] == "linear":
        warmup = int(train["warmup_epochs"] * per_epoch)
        if warmup >= steps:
            raise ValueError(
                f"train.warmup_epochs={train['warmup_epochs']} must be below "
                f"train.epochs={train['epochs']}. Train longer, or set train.warmup_epochs=0."
            )
        return WarmupLinearDecay(train["learning_rate"], steps, warmup)
    if train["schedule"] == "constant":
        return train["learning_rate"]
    raise ValueError(
        f"train.schedule is 'linear' or 'constant'. Received: train.schedule={train['schedule']!r}"
    )


def _loss(train):
    # Configs of older releases have no such field.
    smoothing = train.get("label_smoothing", 0.0)
    if smoothing:
        return SmoothedCrossentropy(smoothing, from_logits=True)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
