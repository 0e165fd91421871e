"""MobileNetV2 on ImageNet by Joslim's published protocol; other methods by one field.

    joslim plan  --config=configs/imagenet_mobilenet_v2.py --config.data.directory=/data/imagenet
    joslim run   --config=configs/imagenet_mobilenet_v2.py --workdir=runs/mobilenet_v2 \\
        --config.data.directory=/data/imagenet --config.method.name=joslim

The paper's headline: 1.7 points more than Slim at equal MACs, 8 at equal memory. To compare with,
the front that was published for PareCO and US-Net, read from a plot within 0.1:

    PareCO  M MACs 59.5  99    125   167   222    301        US-Net  59    97    161   209   300
    top-1 error %  38.5  34.5  32.5  30.1  29.05  27.9               37.7  34.9  31.7  30.4  28.5
"""

from keras_joslim.configs import imagenet


def get_config():
    """The recipe; every number that is not here is in configs/imagenet.py."""
    config = imagenet.get_config(epochs=250, tau=625)
    config.model.name = "mobilenet_v2"
    return config
