"""The main job: scikit-learn's handwritten digits, minutes on two CPU cores.

    joslim run --config=configs/digits.py --workdir=runs/digits

Any field can be given on the command line: `--config.train.epochs=20`.
"""

import ml_collections
from ml_collections import config_dict


def get_config():
    """The recipe: 64 widths in the history, 1,280 optimizer steps."""
    config = ml_collections.ConfigDict()
    config.seed = 0

    # Every other field of `data` is an option of its loader: the digits have none.
    config.data = ml_collections.ConfigDict({"name": "digits"})

    # Input shape and classes are those of the data.
    config.model = ml_collections.ConfigDict({"name": "digits_cnn", "options": {}})

    config.slim = ml_collections.ConfigDict()
    config.slim.min_width = 0.25
    config.slim.divisor = 1
    config.slim.choices = config_dict.placeholder(int)  # Legal widths a group; None: all.
    config.slim.skip = ()

    # What the front is against: "macs", "parameters" or "memory".
    config.cost = "macs"
    config.method = ml_collections.ConfigDict()
    config.method.name = "joslim"  # All of them: keras_joslim/app/methods.py, or the README.
    # The history ends with num_sampled * steps / tau widths, the prior points among them.
    config.method.tau = 40
    config.method.num_sampled = 2
    config.method.prior_points = 20
    config.method.bound = "optimistic"  # "upper" for comparison with the published code only.
    config.method.surrogate = "default"  # Or "published", the Gaussian process of the code.
    config.method.recalibration = config_dict.placeholder(int)  # Networks a search; None: all.
    # Networks asked last that a step draws its own from; None: the last, held, as published.
    config.method.recent = config_dict.placeholder(int)
    config.method.hold = 1  # Steps that "uniform" and "random" hold their widths.
    config.method.multipliers = (1.0, 0.75, 0.5, 0.25)  # For "fixed" only.
    # Of "aows": the most that the networks sought may cost, in its unit; None: half the full cost.
    config.method.budget = config_dict.placeholder(float)
    config.method.strategy = "joslim"  # For "platforms" only, see docs/platforms.md.
    # Validation images that re-evaluate the history: half of them, to save time.
    config.method.calibration_size = 180

    # For "platforms": what to train for, a dict of name, cost, budgets and weight each.
    config.platforms = ()

    # After training. The greedy search goes to its end whatever the number, and its targets are
    # parts of the full cost; none: five, down to the smallest network's.
    config.search = ml_collections.ConfigDict({"evaluations": 500, "greedy_targets": ()})

    config.train = ml_collections.ConfigDict()
    config.train.epochs = 80
    config.train.batch_size = 64
    config.train.learning_rate = 0.1
    config.train.warmup_epochs = 2
    config.train.schedule = "linear"
    config.train.momentum = 0.9
    config.train.nesterov = True
    config.train.weight_decay = 1e-4
    config.train.steps_per_execution = 1
    # Or "mixed_float16", "mixed_bfloat16": faster on accelerators made for it (docs/long_runs.md).
    config.train.precision = "float32"
    config.train.accumulate = 1  # Parts in which a batch is run, to save memory.
    # BatchNorm statistics over the images of all workers, not of each device (--strategy).
    config.train.sync_batch_norm = False
    # Momentum of an average of the weights, which is judged and exported; None: no average.
    config.train.ema = config_dict.placeholder(float)
    # A digit fills its 8x8 pixels: one pixel of shift, and a mirrored digit is none.
    config.train.augment = ml_collections.ConfigDict({"padding": 1, "flip": False})

    # The last two are kept: where one is damaged the one before it is used.
    config.checkpoint = ml_collections.ConfigDict({"every_steps": 160, "keep_last": 2})
    # Of so many hours of training one checkpoint is kept for good; None: none.
    config.checkpoint.keep_every_hours = config_dict.placeholder(float)
    # A row of logs/steps.csv every so many steps; the same for TensorBoard (extra `tensorboard`).
    config.watch = ml_collections.ConfigDict({"every_steps": 50, "tensorboard": False})
    # BatchNorm statistics of each point: 4 batches of 256 are the training images once.
    config.calibration = ml_collections.ConfigDict({"batches": 4, "batch_size": 256})
    # The front is looked for among so many networks, those that the history's losses put first.
    config.front = ml_collections.ConfigDict({"networks": 64})
    config.export = ml_collections.ConfigDict({"formats": ("fp32", "fp16"), "points": "all"})
    config.export.embed_metadata = False  # Labels and normalisation inside each file as well.
    # For the formats "qat", "cluster" and "prune" only: docs/quantisation.md.
    config.export.fine_tuning = ml_collections.ConfigDict(
        {"steps": 300, "batch_size": 64, "distillation": 1.0, "int8": True}
    )
    config.export.fine_tuning.learning_rate = config_dict.placeholder(float)  # None: the format's.
    config.export.fine_tuning.clusters = 16  # Weights that differ, a kernel.
    config.export.fine_tuning.sparsity = 0.5  # Share of a kernel that "prune" makes zero.
    config.profile = ml_collections.ConfigDict({"processes": 5, "runs": 50, "num_threads": 1})
    return config
