"""The benchmark's job: rendered glyphs of 100 classes, a small ResNet, about an hour on two cores.

    joslim run --config=configs/glyphs.py --workdir=runs/glyphs

The images are drawn by packages of the extra `glyphs`: pip install matplotlib pillow.
"""

import ml_collections
from ml_collections import config_dict


def get_config():
    """The recipe: 120 widths in the history, 6,000 optimizer steps."""
    config = ml_collections.ConfigDict()
    config.seed = 0

    # Every other field of `data` is an option of its loader.
    config.data = ml_collections.ConfigDict()
    config.data.name = "glyphs"
    config.data.train_size = 25600  # 400 batches, so that 15 epochs are 6,000 steps.
    config.data.validation_size = 4000
    config.data.test_size = 4000

    # Input shape and classes are those of the data. Half the resolution throughout, a quarter of
    # the MACs: steps cheap enough to train every method with several seeds.
    config.model = ml_collections.ConfigDict()
    config.model.name = "cifar_resnet"
    config.model.options = ml_collections.ConfigDict({"depth": 14, "stem_strides": 2})

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
    config.method.tau = 100
    config.method.num_sampled = 2
    config.method.prior_points = 20
    config.method.bound = "optimistic"  # "upper" for comparison with the published code only.
    config.method.surrogate = "default"  # Or "published", the Gaussian process of the code.
    config.method.recalibration = 12  # Networks a search; None: all, as published.
    # Networks asked last that a step draws its own from; None: the last, held, as published.
    config.method.recent = config_dict.placeholder(int)
    config.method.hold = 1  # Steps that "uniform" and "random" hold their widths.
    config.method.multipliers = (1.0, 0.75, 0.5, 0.25)  # For "fixed" only.
    # Of "aows": the most that the networks sought may cost, in its unit; None: half the full cost.
    config.method.budget = config_dict.placeholder(float)
    config.method.strategy = "joslim"  # For "platforms" only, see docs/platforms.md.
    # Validation images that re-evaluate the history: some five a class.
    config.method.calibration_size = 512

    # For "platforms": what to train for, a dict of name, cost, budgets and weight each.
    config.platforms = ()

    # After training. The greedy search goes to its end whatever the number, and its targets are
    # parts of the full cost; none: five, down to the smallest network's.
    config.search = ml_collections.ConfigDict({"evaluations": 500, "greedy_targets": ()})

    config.train = ml_collections.ConfigDict()
    config.train.epochs = 15
    config.train.batch_size = 64
    config.train.learning_rate = 0.1
    config.train.warmup_epochs = 1
    config.train.schedule = "linear"
    config.train.momentum = 0.9
    config.train.nesterov = True
    config.train.weight_decay = 5e-4
    config.train.steps_per_execution = 1
    # Or "mixed_float16", "mixed_bfloat16": faster on accelerators made for it (docs/long_runs.md).
    config.train.precision = "float32"
    config.train.accumulate = 1  # Parts in which a batch is run, to save memory.
    # BatchNorm statistics over the images of all workers, not of each device (--strategy).
    config.train.sync_batch_norm = False
    # Momentum of an average of the weights, which is judged and exported; None: no average.
    config.train.ema = config_dict.placeholder(float)
    # None: the images were shifted when they were drawn, and a mirrored letter may be another.
    config.train.augment = ml_collections.ConfigDict({"padding": 0, "flip": False})

    # The last two are kept: where one is damaged the one before it is used.
    config.checkpoint = ml_collections.ConfigDict({"every_steps": 500, "keep_last": 2})
    # Of so many hours of training one checkpoint is kept for good; None: none.
    config.checkpoint.keep_every_hours = config_dict.placeholder(float)
    # A row of logs/steps.csv every so many steps; the same for TensorBoard (extra `tensorboard`).
    config.watch = ml_collections.ConfigDict({"every_steps": 50, "tensorboard": False})
    # BatchNorm statistics of each point: 10 batches of 256 are a tenth of the training images.
    config.calibration = ml_collections.ConfigDict({"batches": 10, "batch_size": 256})
    # The front is looked for among so many networks, those that the history's losses put first.
    config.front = ml_collections.ConfigDict({"networks": 60})
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
