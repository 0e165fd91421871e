"""What slimmable preprocessing layers share: they are called with two arguments."""

import keras

from keras_joslim.layers.slim_layer import SlimLayer, check_size


class SlimDataLayer(SlimLayer):
    """Mixin of a stock preprocessing layer that runs at run-time widths.

    The stock layers' own `__call__`, which also serves `tf.data`, takes one positional
    argument; the widths are the last one of every slimmable layer, so that extraction
    can leave them out.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        check_size(self, self.out_layout, "out_layout", self.in_layout.size)

    def __call__(self, inputs, widths, **kwargs):
        return keras.Layer.__call__(self, inputs, widths, **kwargs)
