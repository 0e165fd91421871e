"""ResNet-18 on ImageNet by Joslim's published protocol; other methods by one field.

    joslim plan  --config=configs/imagenet_resnet18.py --config.data.directory=/data/imagenet
    joslim run   --config=configs/imagenet_resnet18.py --workdir=runs/resnet18 \\
        --config.data.directory=/data/imagenet --config.method.name=joslim

A hundred epochs, and periods of 250 steps, so that the history is as long as that of 250 epochs.
"""

from keras_joslim.configs import imagenet


def get_config():
    """The recipe; every number that is not here is in configs/imagenet.py."""
    config = imagenet.get_config(epochs=100, tau=250)
    config.model.name = "imagenet_resnet"
    config.model.options.depth = 18
    return config
