"""The benchmark's job: rendered glyphs of 100 classes, a small ResNet, about an hour on two cores.

    joslim run --config=configs/glyphs.py --workdir=runs/glyphs

The images are drawn by packages of the extra `glyphs`: pip install matplotlib pillow. Fields that
are not here are in configs/common.py.
"""

from ml_collections import ConfigDict

from keras_joslim.configs import common


def get_config():
    """The recipe: 120 widths in the history, 6,000 optimizer steps."""
    config = common.get_config()
    config.data.name = "glyphs"
    config.data.train_size = 25600  # 400 batches, so that 15 epochs are 6,000 steps.
    config.data.validation_size = 4000
    config.data.test_size = 4000
    # Half the resolution throughout, a quarter of the MACs: steps cheap enough to train every
    # method with several seeds.
    config.model.name = "cifar_resnet"
    config.model.options = ConfigDict({"depth": 14, "stem_strides": 2})
    config.slim.min_width = 0.25

    config.method.tau = 100
    config.method.recalibration = 12
    # Some five a class.
    config.method.calibration_size = 512

    config.train.epochs = 15
    config.train.batch_size = 64
    config.train.learning_rate = 0.1
    config.train.warmup_epochs = 1
    config.train.weight_decay = 5e-4
    # None: the images were shifted when they were drawn, and a mirrored letter may be another.
    config.train.augment = ConfigDict({"padding": 0, "flip": False})

    config.checkpoint.every_steps = 500
    # 10 batches of 256 are a tenth of the training images.
    config.calibration = ConfigDict({"batches": 10, "batch_size": 256})
    config.front = ConfigDict({"networks": 60})
    return config
