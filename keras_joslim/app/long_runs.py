"""Optional fields of `train` and `checkpoint` in a config: for runs of days and small memories."""

import dataclasses

PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")


@dataclasses.dataclass(frozen=True)
class LongRun:
    """The fields, each with the value that a config without it means.

    Attributes:
        precision: dtype policy of the training, one of `PRECISIONS`.
        accumulate: parts in which a batch is run, one after the other.
        ema: momentum of the weights' moving average; `None`: no average.
        sync_batch_norm: whether BatchNormalization takes its statistics over all workers' images.
        keep_last: checkpoints to keep.
        keep_every_hours: hours of training, of which one checkpoint each is kept for good.
    """

    precision: str = "float32"
    accumulate: int = 1
    ema: float | None = None
    sync_batch_norm: bool = False
    keep_last: int = 2
    keep_every_hours: float | None = None


# Section of the config -> its fields above.
_FIELDS = {
    "train": ("precision", "accumulate", "ema", "sync_batch_norm"),
    "checkpoint": ("keep_last", "keep_every_hours"),
}


def with_defaults(config):
    """A config with the optional fields that it lacks, as they would be read.

    Args:
        config: JSON dict; sections may be missing.
    """
    return {
        **config,
        **{
            section: {**{name: getattr(LongRun, name) for name in names}, **config[section]}
            for section, names in _FIELDS.items()
            if section in config
        },
    }


def long_run(config):
    """The `LongRun` of a config.

    Raises:
        ValueError: a field out of range, by name.
    """
    # Here: commands that only read a run load no search.
    from keras_joslim.search.whole_number import whole_number

    config = with_defaults(config)
    fields = LongRun(
        **{name: config[section][name] for section, names in _FIELDS.items() for name in names}
    )
    if fields.precision not in PRECISIONS:
        raise ValueError(
            f"train.precision is one of {', '.join(PRECISIONS)}. "
            f"Received: train.precision={fields.precision!r}"
        )
    whole_number("train.accumulate", fields.accumulate, 1)
    if fields.accumulate > config["train"]["batch_size"]:
        raise ValueError(
            "train.accumulate is the number of parts in which a batch is run, at most "
            f"train.batch_size={config['train']['batch_size']}. "
            f"Received: train.accumulate={fields.accumulate}"
        )
    if fields.ema is not None and not 0 < fields.ema < 1:
        raise ValueError(
            "train.ema is the momentum of an average of the weights, above 0 and below 1, such as "
            f"0.9999, or None for no average. Received: train.ema={fields.ema!r}"
        )
    whole_number("checkpoint.keep_last", fields.keep_last, 1)
    hours = fields.keep_every_hours
    if hours is not None and not hours > 0:
        raise ValueError(
            "checkpoint.keep_every_hours is a number above 0, or None. "
            f"Received: checkpoint.keep_every_hours={hours!r}"
        )
    return fields


def steps_per_epoch(train, stream):
    """Steps of an epoch: a pass over the images, less what does not fill an execution.

    The stream goes on by the step, so no image is left out: epochs are that little shorter.

    Args:
        train: the section of the config.
        stream: what `stream.steps_per_epoch` is known of.

    Raises:
        ValueError: `steps_per_execution` is no whole number from 1 to the steps of a pass.
    """
    from keras_joslim.search.whole_number import whole_number

    count = whole_number("train.steps_per_execution", train["steps_per_execution"], 1)
    if count > stream.steps_per_epoch:
        raise ValueError(
            f"An epoch has {stream.steps_per_epoch} steps, which train.steps_per_execution must "
            f"not exceed. Received: train.steps_per_execution={count}"
        )
    return stream.steps_per_epoch // count * count
