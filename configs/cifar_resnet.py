"""The CIFAR recipes of the Joslim paper: ResNet-20, 32, 44 or 56 on CIFAR-10 or CIFAR-100.

    joslim run --config=configs/cifar_resnet.py:resnet56,cifar100 --workdir=runs/resnet56

The images are read from `--config.data.directory` (default: data), which holds the unpacked
cifar-10-batches-py or cifar-100-python. Numbers are those of "Joslim: Joint Widths and Weights
Optimization for Slimmable Neural Networks" (arXiv 2007.11752); a comment says where it is silent
and the number is our choice. Fields that are not here are in configs/common.py.
"""

from ml_collections import ConfigDict

from keras_joslim.configs import common

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
    config = common.get_config()
    config.data.name = data
    config.data.directory = "data"
    # Our choice: the published code chooses widths on test images, which here are only reported.
    config.data.validation_size = 5000
    config.model.name = "cifar_resnet"
    config.model.options.depth = DEPTHS[network]
    config.slim.min_width = 0.316  # The smallest network has 10 % of the MACs.
    config.slim.divisor = 1  # Silent; every width is legal.

    # 313 steps and M = 2 give a history of about 1,000 on all 50,000 training images; on the
    # 45,000 left to train on (351 steps an epoch) it ends with 898 widths.
    config.method.tau = 313
    config.method.surrogate = "published"  # One lengthscale, prior mean zero.
    config.method.multipliers = (1.0, 0.75, 0.5, 0.316)
    # One batch: the published overhead of 40 % in forward passes counts the history so.
    config.method.calibration_size = 128

    config.train.epochs = 400
    config.train.batch_size = 128
    config.train.learning_rate = 0.1
    config.train.warmup_epochs = 0  # Silent on CIFAR; He et al. need none below 110 layers.
    config.train.weight_decay = 5e-4
    config.train.augment = ConfigDict({"padding": 4, "flip": True})

    config.checkpoint.every_steps = 1000
    # Silent. 40 batches of 128 are 5,120 training images, enough for statistics per channel.
    config.calibration = ConfigDict({"batches": 40, "batch_size": 128})
    config.front = ConfigDict({"networks": 100})
    config.export.fine_tuning.batch_size = 128
    return config
