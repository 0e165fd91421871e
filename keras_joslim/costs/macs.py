"""Multiply-accumulates of a sub-network, per image."""

from keras_joslim.costs.bilinear import BilinearCost


class MACs(BilinearCost):
    """Multiply-accumulates of convolutions, depthwise ones and dense layers.

    Per image, classifier included, BatchNormalization folded (it costs nothing),
    element-wise operations not counted. Attention and recurrent layers, which stay at
    full width, are counted; other layers without a slimmable form are not.

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
        space = model.width_space
        super().__init__([t for call in model.layer_calls() for t in call.macs()], len(space))
        self._space = space

    @property
    def searchable_share(self):
        """Share of the full network's MACs in layers that a searchable group narrows, 0 to 1."""
        return self.share_of(self._space.full, self._space.searchable)
