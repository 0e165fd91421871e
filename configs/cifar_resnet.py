"""The CIFAR recipes of the Joslim paper: ResNet-20, 32, 44 or 56 on CIFAR-10 or CIFAR-100.

    joslim run --config=configs/cifar_resnet.py:resnet56,cifar100 --workdir=runs/resnet56

The images are read from `--config.data.directory` (default: data), which holds the unpacked
cifar-10-batches-py or cifar-100-python. Numbers are those of "Joslim: Joint Widths and Weights
Optimization for Slimmable Neural Networks" (arXiv 2007.11752); a comment says where it is silent
and the number is our choice.
"""

import ml_collections
from ml_collections import config_dict

DEPTHS = {"resnet20": 20, "resnet32": 32, "resnet44": 44, "resnet56": 56}
DATA = ("cifar10", "cifar100")


def get_config(recipe="resnet20,cifar10"):
    """The recipe of a network and a data set.

    Args:
        recipe: such as "resnet20,cifar10", after a colon behind the file's name.
    """
    network, _, data = recipe.partition(",")
    if network not in DEPTHS or data not in DATA:
        raise ValueError(
            f"Expected one of {sorted(DEPTHS)}, a comma and one of {sorted(DATA)}, such as "
            f"configs/cifar_resnet.py:resnet20,cifar10. Received: recipe={recipe!r}"
        )
    config = ml_collections.ConfigDict()
    config.seed = 0

    # Every other field of `data` is an option of its loader.
    config.data = ml_collections.ConfigDict()
    config.data.name = data
    config.data.directory = "data"
    # Our choice: the published code chooses widths on test images, which here are only reported.
    config.data.validation_size = 5000

    # Input shape and classes are those of the data.
    config.model = ml_collections.ConfigDict()
    config.model.name = "cifar_resnet"
    config.model.options = ml_collections.ConfigDict({"depth": DEPTHS[network]})

    config.slim = ml_collections.ConfigDict()
    config.slim.min_width = 0.316  # The smallest network has 10 % of the MACs.
    config.slim.divisor = 1  # Silent; every width is legal.
    config.slim.choices = config_dict.placeholder(int)  # Legal widths a group; None: all.
    config.slim.skip = ()

    # What the front is against: "macs", "parameters" or "memory".
    config.cost = "macs"
    config.method = ml_collections.ConfigDict()
    config.method.name = "joslim"  # All of them: keras_joslim/app/methods.py, or the README.
    # 313 steps and M = 2 give a history of about 1,000 on all 50,000 training images; on the
    # 45,000 left to train on (351 steps an epoch) it ends with 898 widths.
    config.method.tau = 313
    config.method.num_sampled = 2
    config.method.prior_points = 20
    config.method.bound = "optimistic"  # "upper" for comparison with the published code only.
    config.method.surrogate = "published"  # One lengthscale, prior mean zero; or "default".
    config.method.recalibration = config_dict.placeholder(int)  # Networks a search; None: all.
    # Networks asked last that a step draws its own from; None: the last, held, as published.
    config.method.recent = config_dict.placeholder(int)
    config.method.hold = 1  # Steps that "uniform" and "random" hold their widths.
    config.method.multipliers = (1.0, 0.75, 0.5, 0.316)  # For "fixed" only.
    # Of "aows": the most that the networks sought may cost, in its unit; None: half the full cost.
    config.method.budget = config_dict.placeholder(float)
    config.method.strategy = "joslim"  # For "platforms" only, see docs/platforms.md.
    # One batch: the published overhead of 40 % in forward passes counts the history so.
    config.method.calibration_size = 128

    # For "platforms": what to train for, a dict of name, cost, budgets and weight each.
    config.platforms = ()

    # After training. The greedy search goes to its end whatever the number, and its targets are
    # parts of the full cost; none: five, down to the smallest network's.
    config.search = ml_collections.ConfigDict({"evaluations": 500, "greedy_targets": ()})

    config.train = ml_collections.ConfigDict()
    config.train.epochs = 400
    config.train.batch_size = 128
    config.train.learning_rate = 0.1
    config.train.warmup_epochs = 0  # Silent on CIFAR; He et al. need none below 110 layers.
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
    config.train.augment = ml_collections.ConfigDict({"padding": 4, "flip": True})

    # The last two are kept: where one is damaged the one before it is used.
    config.checkpoint = ml_collections.ConfigDict({"every_steps": 1000, "keep_last": 2})
    # Of so many hours of training one checkpoint is kept for good; None: none.
    config.checkpoint.keep_every_hours = config_dict.placeholder(float)
    # A row of logs/steps.csv every so many steps; the same for TensorBoard (extra `tensorboard`).
    config.watch = ml_collections.ConfigDict({"every_steps": 50, "tensorboard": False})
    # Silent. 40 batches of 128 are 5,120 training images, enough for statistics per channel.
    config.calibration = ml_collections.ConfigDict({"batches": 40, "batch_size": 128})
    # The front is looked for among so many networks, those that the history's losses put first.
    config.front = ml_collections.ConfigDict({"networks": 100})
    config.export = ml_collections.ConfigDict({"formats": ("fp32", "fp16"), "points": "all"})
    config.export.embed_metadata = False  # Labels and normalisation inside each file as well.
    # For the formats "qat", "cluster" and "prune" only: docs/quantisation.md.
    config.export.fine_tuning = ml_collections.ConfigDict(
        {"steps": 1000, "batch_size": 128, "distillation": 1.0, "int8": True}
    )
    config.export.fine_tuning.learning_rate = config_dict.placeholder(float)  # None: the format's.
    config.export.fine_tuning.clusters = 16  # Weights that differ, a kernel.
    config.export.fine_tuning.sparsity = 0.5  # Share of a kernel that "prune" makes zero.
    config.profile = ml_collections.ConfigDict({"processes": 5, "runs": 50, "num_threads": 1})
    return config
