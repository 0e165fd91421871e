"""The main job: scikit-learn's handwritten digits, minutes on two CPU cores.

    joslim run --config=configs/digits.py --workdir=runs/digits

Any field can be given on the command line: `--config.train.epochs=20`. Those that are not here
are in configs/common.py.
"""

from ml_collections import ConfigDict, config_dict

from keras_joslim.configs import common


def get_config():
    """The recipe: 64 widths in the history, 1,280 optimizer steps."""
    config = common.get_config()
    config.data.name = "digits"
    # None: 8, their own; 64 enlarges them for a MobileNet, with train.augment.padding=8.
    config.data.image_size = config_dict.placeholder(int)
    config.model.name = "digits_cnn"
    config.slim.min_width = 0.25

    config.method.tau = 40
    # Half of the validation images, to save time.
    config.method.calibration_size = 180

    config.train.epochs = 80
    config.train.batch_size = 64
    config.train.learning_rate = 0.1
    config.train.warmup_epochs = 2
    config.train.weight_decay = 1e-4
    # A digit fills its 8x8 pixels: one pixel of shift, and a mirrored digit is none.
    config.train.augment = ConfigDict({"padding": 1, "flip": False})

    config.checkpoint.every_steps = 160
    # 4 batches of 256 are the training images once.
    config.calibration = ConfigDict({"batches": 4, "batch_size": 256})
    config.front = ConfigDict({"networks": 64})
    config.export.fine_tuning.steps = 300
    return config
