"""What the ImageNet recipes have in common: the protocol of the Joslim paper, number by number.

Not a recipe by itself: `configs/imagenet_mobilenet_v2.py` and its neighbours take it and say which
network, how many epochs and how many steps a search period. Numbers are those of "Joslim: Joint
Widths and Weights Optimization for Slimmable Neural Networks" (ECML-PKDD 2021, arXiv 2007.11752);
a comment says where the paper and the code published with it disagree, where both are silent,
and what was chosen.

The data are read from `--config.data.directory` (default: data/imagenet), class folders `train/`
and `val/`; records in shards by `--config.data.name=tfrecord`. docs/imagenet.md has the layouts.
"""

from ml_collections import ConfigDict, config_dict

from keras_joslim.configs import common


def get_config(epochs=250, tau=625):
    """The common part.

    Args:
        epochs: of the training.
        tau: optimizer steps a search period, at a batch of 1,024. Half an epoch (625) over 250
            epochs, or 250 steps over 100: either way the history ends with some 1,000 widths.
    """
    config = common.get_config()
    # None is the loader's own default.
    config.data.name = "image_folder"  # Or "tfrecord".
    config.data.directory = "data/imagenet"
    config.data.size = 224
    # Our choice: a hundredth of the training images, held out by a hash of their names, is what
    # widths are chosen on. The published code chooses them on the official validation images,
    # which here are the test data: measured once, and only reported.
    config.data.validation = 0.01
    config.data.class_map = config_dict.placeholder(str)  # A file that numbers the classes.
    config.data.max_corrupt = 100  # Images that cannot be read and are skipped.
    # Of records only. Where their index is kept; features, where they have names of their own.
    config.data.index_directory = config_dict.placeholder(str)
    config.data.image_feature = config_dict.placeholder(str)
    config.data.label_feature = config_dict.placeholder(str)
    config.data.name_feature = config_dict.placeholder(str)
    config.data.first_label = config_dict.placeholder(int)
    config.data.dataset = config_dict.placeholder(str)  # Of "tfds" only, such as "imagenet2012".

    config.slim.min_width = 0.42  # MobileNetV2 has 59 M MACs there.
    # Paper and code are silent; every width is legal. Kernels on phones work on 4 or 8 channels at
    # a time: 8 makes the widths that are in between, and not faster, illegal.
    config.slim.divisor = 1

    # "uniform" is Slim (US-Net), "two_stage" TwoStage, "pareco" PareCO.
    config.method.name = "joslim"
    # The paper minimises a lower bound of the loss, mean less sqrt(0.1) standard deviations; the
    # code an upper one, by mistake: "upper", for comparison only.
    config.method.bound = "optimistic"
    # One lengthscale for all groups and a mean of zero, as the code has them; the paper writes
    # one lengthscale a group: "default", with a mean linear in log cost.
    config.method.surrogate = "published"
    config.method.multipliers = (1.0, 0.75, 0.5, 0.42)

    config.train.epochs = epochs
    # Over all devices. Learning rate and tau follow it.
    batch = config_dict.FieldReference(1024)
    config.train.batch_size = batch
    config.train.learning_rate = 0.5 * batch / 1024
    config.train.warmup_epochs = 5
    # Added to the gradient before the momentum; none on BatchNorm, biases, depthwise kernels.
    config.train.weight_decay = 4e-5
    # Of the labels; the full network's outputs, which the narrow ones learn from, are not smoothed.
    config.train.label_smoothing = 0.1
    # The paper is silent; in its code each device has its own BatchNorm statistics. True: the same.
    config.train.sync_batch_norm = False
    # Share of the area that a crop takes, its width by height, mirroring, colours, PCA lighting.
    config.train.augment = ConfigDict(
        {"scale": (0.25, 1.0), "ratio": (0.75, 4 / 3), "flip": True, "jitter": 0.4, "lighting": 0.1}
    )
    # A period sees as many images whatever the batch.
    config.method.tau = tau * 1024 // batch
    # One calibration batch, of images held out: those that weights are trained on flatter them.
    config.method.calibration_size = 1024

    config.checkpoint.every_steps = 1000
    config.checkpoint.keep_last = 3
    # Of so many hours of training one checkpoint is kept for good.
    config.checkpoint.keep_every_hours = 12.0
    # BatchNorm statistics of each point, of 2,048 training images: 1.2 GB at 224 px.
    config.calibration = ConfigDict({"batches": 8, "batch_size": 256})
    config.front = ConfigDict({"networks": 100})
    config.export.formats = ("fp32", "int8")
    return config
