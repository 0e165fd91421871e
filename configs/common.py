"""The fields that recipes have in common, each with what it means.

Not a recipe by itself: every recipe takes these, says what it has otherwise, and adds its own
numbers: the data, the network, how long to train. A recipe of your own does the same:

    from keras_joslim.configs import common

    def get_config():
        config = common.get_config()
        config.data = ml_collections.ConfigDict({"name": "digits"})
        ...
        return config
"""

import ml_collections
from ml_collections import config_dict


def get_config():
    """The fields whose values most recipes share; `configs/digits.py` shows what they add."""
    config = ml_collections.ConfigDict()
    config.seed = 0

    # A recipe adds `name`; every other field of `data` is an option of its loader.
    config.data = ml_collections.ConfigDict()
    # A recipe adds `name`. Input shape and classes are those of the data.
    config.model = ml_collections.ConfigDict({"options": ml_collections.ConfigDict()})

    # A recipe adds `min_width`, the smallest width multiplier.
    config.slim = ml_collections.ConfigDict()
    config.slim.divisor = 1
    config.slim.choices = config_dict.placeholder(int)  # Legal widths a group; None: all.
    config.slim.skip = ()

    # What the front is against: "macs", "parameters", "memory", or "latency:FILE".
    config.cost = "macs"
    # A recipe adds `tau`, optimizer steps between two searches, and `calibration_size`, validation
    # images that re-evaluate the history. This ends with num_sampled * steps / tau widths, the
    # prior points among them.
    config.method = ml_collections.ConfigDict()
    config.method.name = "joslim"  # All of them: keras_joslim/app/methods.py, or the README.
    config.method.num_sampled = 2
    config.method.prior_points = 20
    config.method.bound = "optimistic"  # "upper" for comparison with the published code only.
    config.method.surrogate = "default"  # Or "published", the Gaussian process of the code.
    config.method.recalibration = config_dict.placeholder(int)  # Networks a search; None: all.
    # Networks asked last that a step draws its own from; None: the last, held, as published.
    config.method.recent = config_dict.placeholder(int)
    config.method.hold = 1  # Steps that "uniform", "random" and "two_stage" hold their widths.
    config.method.multipliers = (1.0, 0.75, 0.5, 0.25)  # For "fixed" only.
    # Of "aows": the most that the networks sought may cost, in its unit; None: half the full cost.
    config.method.budget = config_dict.placeholder(float)
    config.method.strategy = "joslim"  # For "platforms" only, see docs/platforms.md.

    # For "platforms": what to train for, a dict of name, cost, budgets and weight each.
    config.platforms = ()

    # After training. The greedy search goes to its end whatever the number, and its targets are
    # parts of the full cost; none: five, down to the smallest network's.
    config.search = ml_collections.ConfigDict({"evaluations": 500, "greedy_targets": ()})

    # A recipe adds `epochs`, `batch_size`, `learning_rate`, `warmup_epochs`, `weight_decay` and
    # `augment`.
    config.train = ml_collections.ConfigDict()
    config.train.schedule = "linear"
    config.train.momentum = 0.9
    config.train.nesterov = True
    config.train.steps_per_execution = 1
    # Or "mixed_float16", "mixed_bfloat16": faster on accelerators made for it (docs/long_runs.md).
    config.train.precision = "float32"
    config.train.accumulate = 1  # Parts in which a batch is run, to save memory.
    # BatchNorm statistics over the images of all workers, not of each device (--strategy).
    config.train.sync_batch_norm = False
    # Momentum of an average of the weights, which is judged and exported; None: no average.
    config.train.ema = config_dict.placeholder(float)

    # A recipe adds `every_steps`. The last two are kept: where one is damaged the one before it is
    # used.
    config.checkpoint = ml_collections.ConfigDict({"keep_last": 2})
    # Of so many hours of training one checkpoint is kept for good; None: none.
    config.checkpoint.keep_every_hours = config_dict.placeholder(float)
    # A row of logs/steps.csv every so many steps; the same for TensorBoard (extra `tensorboard`).
    config.watch = ml_collections.ConfigDict({"every_steps": 50, "tensorboard": False})
    # A recipe adds `calibration`, training images for the BatchNorm statistics of each point:
    # `batches` of `batch_size`; and `front`: the front is looked for among so many `networks`,
    # those that the history's losses put first.
    config.export = ml_collections.ConfigDict({"formats": ("fp32", "fp16"), "points": "all"})
    config.export.embed_metadata = False  # Labels and normalisation inside each file as well.
    # For the formats "qat", "cluster" and "prune" only: docs/quantisation.md.
    config.export.fine_tuning = ml_collections.ConfigDict(
        {"steps": 1000, "batch_size": 64, "distillation": 1.0, "int8": True}
    )
    config.export.fine_tuning.learning_rate = config_dict.placeholder(float)  # None: the format's.
    config.export.fine_tuning.clusters = 16  # Weights that differ, a kernel.
    config.export.fine_tuning.sparsity = 0.5  # Share of a kernel that "prune" makes zero.
    config.profile = ml_collections.ConfigDict({"processes": 5, "runs": 50, "num_threads": 1})
    return config
