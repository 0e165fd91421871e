"""ResNet-50 on ImageNet by Joslim's published protocol; other methods by one field.

    joslim plan  --config=configs/imagenet_resnet50.py --config.data.directory=/data/imagenet
    joslim run   --config=configs/imagenet_resnet50.py --workdir=runs/resnet50 \\
        --config.data.directory=/data/imagenet --config.method.name=joslim

No numbers of the method were published for this network: those of ResNet-18 are our choice.
"""

from keras_joslim.configs import imagenet


def get_config():
    """The recipe; every number that is not here is in configs/imagenet.py."""
    config = imagenet.get_config(epochs=100, tau=250)
    config.model.name = "imagenet_resnet"
    config.model.options.depth = 50
    return config
