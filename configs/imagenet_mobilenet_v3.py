"""MobileNetV3-Large on ImageNet by Joslim's published protocol; other methods by one field.

    joslim plan  --config=configs/imagenet_mobilenet_v3.py --config.data.directory=/data/imagenet
    joslim run   --config=configs/imagenet_mobilenet_v3.py --workdir=runs/mobilenet_v3 \\
        --config.data.directory=/data/imagenet --config.method.name=joslim

Crops take as little as 0.08 of an image here, 0.25 in the recipes of the other networks.
"""

from keras_joslim.configs import imagenet


def get_config():
    """The recipe; every number that is not here is in configs/imagenet.py."""
    config = imagenet.get_config(epochs=250, tau=625)
    config.model.name = "mobilenet_v3_large"
    config.train.augment.scale = (0.08, 1.0)
    return config
