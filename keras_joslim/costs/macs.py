"""Multiply-accumulates of a sub-network, per image."""

from keras_joslim.costs.bilinear import BilinearCost


class MACs(BilinearCost):
    """Multiply-accumulates of convolutions, depthwise ones and dense layers.

    Per image, classifier included, BatchNormalization folded (it costs nothing),
    element-wise operations not counted.

    Args:
        model: a `SlimmableModel`.

    Raises:
        ValueError: a spatial shape of the model is not static.

    Example:

    >>> macs = MACs(slim)
    >>> macs(slim.width_space.full)  # MobileNetV2, 224 px
    300774272
    """

    name = "macs"
    unit = "MACs"

    def __init__(self, model):
        super().__init__(
            [term for call in model.layer_calls() for term in call.macs()],
            len(model.width_space),
        )
