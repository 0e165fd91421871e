"""`export.fine_tuning` of a config: how the formats that are made by training are trained."""

import dataclasses
import math

import keras

from keras_joslim.tflite.formats import find_format
from keras_joslim.tflite.qat.settings import FineTuning, check_settings

# The fields, all optional: a run of before has none of them.
_FIELDS = (
    *("steps", "batch_size", "learning_rate", "distillation"),
    *("clusters", "sparsity", "int8"),
)
# Training images are handed to another process in memory: of large ones the first, 3,500 of 224 px.
_MOST_BYTES = 2 * 1024**3


def fine_tuning_fields(config):
    """The fields of a config, checked; what it does not say is left to `FineTuning`.

    Args:
        config: dict of the config file.

    Returns:
        A dict of arguments of `FineTuning`.

    Raises:
        ValueError: a field that does not exist or is out of range, by name.
    """
    fields = dict(config.get("export", {}).get("fine_tuning", {}))
    unknown = sorted(set(fields) - set(_FIELDS))
    if unknown:
        raise ValueError(
            f"export.fine_tuning has the fields {', '.join(_FIELDS)}. Received: also {unknown}"
        )
    check_settings(fields, "export.fine_tuning.")
    return fields


def make_fine_tuning(workdir, front, recipe, formats):
    """What `tflite.export` trains points with, the run's full network as their teacher.

    Args:
        workdir: `Workdir`.
        front: its front.
        recipe: `Recipe`: loss and training images, not augmented.
        formats: names of the formats asked for.

    Returns:
        A `FineTuning`; None if no format needs one.

    Raises:
        ValueError: fields that do not fit; no file of the full network.
    """
    if not any(find_format(name).fine_tuned for name in formats):
        return None
    train = recipe.data.train
    most = max(_MOST_BYTES // (4 * math.prod(train.image_shape)), 1)
    settings = FineTuning(
        train.arrays(min(len(train), most)), recipe.model.loss, **fine_tuning_fields(recipe.config)
    )
    if settings.distillation == 0:
        return settings
    full = next((point for point in front.ends if point.name == "full"), None)
    if full is None or not (workdir.place / full.files.get("keras", "")).is_file():
        raise ValueError(
            f"{workdir.place} has no model of the full network, from which {', '.join(formats)} "
            "is to be distilled. Build the front again, or export with "
            "--config.export.fine_tuning.distillation=0."
        )
    teacher = keras.saving.load_model(workdir.place / full.files["keras"], compile=False)
    return dataclasses.replace(settings, teacher=teacher)
