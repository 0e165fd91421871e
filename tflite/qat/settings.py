"""What networks are fine-tuned on, and how, for the number formats that are made by training."""

import dataclasses
import functools
import hashlib
import json

import numpy as np

from keras_joslim.tflite.formats import FORMATS, find_format
from keras_joslim.tflite.qat.losses import loss_spec
from keras_joslim.tflite.representative import representative_sha256
from keras_joslim.tflite.signature import by_name, input_names
from keras_joslim.tflite.source import model_sha256
from keras_joslim.tflite.verify import keras_outputs

MODES = tuple(name for name, settings in FORMATS.items() if settings.fine_tuned)
_LEARNING_RATES = {"qat": 3e-4, "cluster": 3e-4, "prune": 1e-3}
# The settings that a mode looks at, beyond those that all do.
_OWN = {"qat": (), "cluster": ("clusters", "int8"), "prune": ("sparsity", "int8")}
_COMMON = ("steps", "batch_size", "distillation", "temperature", "seed")


@dataclasses.dataclass(frozen=True, eq=False)
class FineTuning:
    """Training data and settings for the formats "qat", "cluster" and "prune".

    Attributes:
        train_data: `(images, labels)`, or `images` alone where the teacher's outputs are all that
            is learned from. Arrays of the training part, preprocessed as for evaluation, not
            augmented; a dict name -> array where there are several inputs or outputs.
        loss: the task loss as it is compiled, a `keras.losses.Loss` or its name; a dict by output
            name for several outputs.
        teacher: the full network as a `keras.Model`, or its outputs on all the images: an array,
            or a dict by output name.
        steps: optimizer steps.
        batch_size: images a step.
        learning_rate: Adam's, at the start; it falls linearly to zero. None: 3e-4, and 1e-3 for
            "prune", which has more to mend.
        distillation: share of the distillation loss in [0, 1]; the rest is the task loss, and
            without a teacher all of it.
        temperature: both networks' logits are divided by it in the distillation loss.
        clusters: values of a kernel in "cluster", from 2.
        sparsity: share of zeros of a kernel in "prune", in (0, 1).
        int8: are "cluster" and "prune" int8, by calibration after the training, or float32? Of a
            clustered network in int8 each kernel has one scale, not one a channel, so that its
            clusters stay as few.
        seed: decides on batches and everything drawn. The same settings give the same bytes.
        threads: of the process that trains. Another number may round sums differently.
        timeout: seconds for that process.

    Raises:
        ValueError: an argument out of range, a loss that is not known.

    Example:

    >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    >>> fine_tuning = FineTuning((images, labels), loss, teacher=full.predict(images), steps=500)
    """

    train_data: object
    loss: object
    teacher: object = None
    steps: int = 300
    batch_size: int = 64
    learning_rate: float | None = None
    distillation: float = 1.0
    temperature: float = 1.0
    clusters: int = 16
    sparsity: float = 0.5
    int8: bool = True
    seed: int = 0
    threads: int = 1
    timeout: float = 3600.0

    def __post_init__(self):
        check_settings(vars(self))
        if hasattr(self.teacher, "width_space"):
            raise ValueError(
                f"Expected a stock keras.Model as teacher. Received: {self.teacher.name!r}, which "
                "is slimmable. Extract the full network: "
                "`keras_joslim.extract(model, model.width_space.full)`."
            )
        for name, loss in self._losses.items():
            loss_spec(loss, name)
        if self.labels is None and self.share < 1:
            raise ValueError(
                "Expected train_data=(images, labels): without a teacher, or with distillation "
                "below 1, labels are learned from. Received: images alone, "
                f"distillation={self.distillation}"
            )

    @property
    def images(self):
        """The images of `train_data`."""
        return self.train_data[0] if isinstance(self.train_data, tuple) else self.train_data

    @property
    def labels(self):
        """The labels of `train_data`, or None."""
        return self.train_data[1] if isinstance(self.train_data, tuple) else None

    @property
    def share(self):
        """Share of the distillation loss: 0 without a teacher."""
        return 0.0 if self.teacher is None else float(self.distillation)

    @property
    def _losses(self):
        return self.loss if isinstance(self.loss, dict) else {"": self.loss}

    def settings(self, mode):
        """What decides on a file beside its network and the data.

        Args:
            mode: "qat", "cluster" or "prune".

        Returns:
            A JSON object.
        """
        chosen = {name: getattr(self, name) for name in (*_COMMON, *_OWN[mode])}
        rate = _LEARNING_RATES[mode] if self.learning_rate is None else self.learning_rate
        return {**chosen, "learning_rate": rate, "distillation": self.share}

    def is_int8(self, mode):
        """Are the files of this mode int8?"""
        return mode == "qat" or self.int8

    def tolerance(self, mode):
        """The `Tolerance` between the fine-tuned network and its file."""
        return find_format(mode if self.is_int8(mode) else "fp32").tolerance

    @functools.cached_property
    def sha256(self):
        """A hash over what is learned from: images, labels, teacher and losses as far as they are.

        A teacher that is a model is known by its weights, so nothing is computed for it.
        """
        losses = {name: loss_spec(loss, name) for name, loss in self._losses.items()}
        parts = [json.dumps(losses, sort_keys=True), representative_sha256(self.images)]
        if self.share < 1:
            parts.append(representative_sha256(self.labels))
        if self.share > 0:
            known = model_sha256 if hasattr(self.teacher, "get_weights") else representative_sha256
            parts.append(known(self.teacher))
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def record(self, mode):
        """What a file of this mode depends on, as a manifest's entry holds it: a JSON object."""
        return {"data": self.sha256, "settings": self.settings(mode)}

    def with_outputs(self):
        """The same with its teacher's outputs in the place of the teacher, computed once.

        It is small and made of arrays: for other processes.

        Returns:
            A `FineTuning` of the same `sha256`.

        Raises:
            ValueError: images that do not fit the teacher.
        """
        return self._with_outputs if hasattr(self.teacher, "get_weights") else self

    @functools.cached_property
    def _with_outputs(self):
        names = input_names(self.teacher)
        images = by_name(self.images, names, "images")
        count = len(images[names[0]])
        rows = self.order(count)[1]
        used = {name: array[rows] for name, array in images.items()}
        outputs = []
        for values in keras_outputs(self.teacher, used).values():
            # Nobody looks at the other rows.
            outputs.append(np.full((count, *values.shape[1:]), np.nan, np.float32))
            outputs[-1][rows] = values
        copy = dataclasses.replace(self, teacher=outputs if len(outputs) > 1 else outputs[0])
        # Outputs may differ in their last bits from machine to machine; weights do not.
        vars(copy)["sha256"] = self.sha256
        return copy

    def order(self, count):
        """Which images each step takes: every image once before any comes again.

        Args:
            count: how many images there are.

        Returns:
            int array (steps, batch), numbers of rows; int array: the rows, those that are used.
        """
        rng = np.random.default_rng(self.seed)
        batch_size = min(self.batch_size, count)
        wanted = self.steps * batch_size
        rounds = [rng.permutation(count) for _ in range(-(-wanted // count))]
        drawn = np.concatenate(rounds)[:wanted]
        rows, order = np.unique(drawn, return_inverse=True)
        return order.reshape(self.steps, batch_size), rows


def check_settings(settings, where=""):
    """Refuses settings that are out of range.

    Args:
        settings: dict name of an attribute of `FineTuning` -> value, not necessarily all.
        where: put before the name in the message.

    Raises:
        ValueError: names the setting, what was expected, and its value.
    """

    def refuse(name, expected):
        raise ValueError(f"Expected {expected}. Received: {where}{name}={settings[name]!r}")

    whole = {"steps": 1, "batch_size": 1, "threads": 1, "clusters": 2, "seed": 0}
    for name, least in whole.items():
        value = settings.get(name, least)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            refuse(name, f"a whole number from {least}")
    for name in ("learning_rate", "temperature", "timeout"):
        value = settings.get(name)
        if value is None and (name == "learning_rate" or name not in settings):
            continue
        if not (_is_number(value) and 0 < value < float("inf")):
            refuse(name, "a positive number")
    value = settings.get("distillation", 1)
    if not (_is_number(value) and 0 <= value <= 1):
        refuse("distillation", "a share in [0, 1]")
    value = settings.get("sparsity", 0.5)
    if not (_is_number(value) and 0 < value < 1):
        refuse("sparsity", "a share in (0, 1)")
    if not isinstance(settings.get("int8", True), bool):
        refuse("int8", "True or False")


def _is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool)
