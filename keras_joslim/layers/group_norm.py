"""Slimmable group normalization: normalisation groups are kept or dropped whole."""

import keras
from keras import ops

from keras_joslim.layers.slim_layer import SlimLayer, check_size


@keras.saving.register_keras_serializable("keras_joslim")
class SlimGroupNormalization(SlimLayer, keras.layers.GroupNormalization):
    """`keras.layers.GroupNormalization` at run-time widths.

    A normalisation group has as many channels at any widths as at full width, so the
    active channels of every segment must be a multiple of `channels / groups`.

    Args:
        groups: normalisation groups at full width; `-1` is one a channel.
        in_layout: `ChannelLayout` of the channels; each segment holds whole
            normalisation groups, unless no width changes it.
        out_layout: the same.
        **kwargs: as in `keras.layers.GroupNormalization`; `axis` must be the last.

    Input shape: `(batch, ..., in_layout.width(widths))`.
    Output shape: the same.

    Raises:
        ValueError: a segment that ends inside a normalisation group; layouts of different
            sizes; at build, an axis that is not the last one. Channels that are never
            narrowed take any axis.

    Example:

    >>> layout = ChannelLayout.of_group(0, 16)
    >>> norm = SlimGroupNormalization(4, in_layout=layout, out_layout=layout)
    >>> norm(images[..., :8], np.array([8], "int32")).shape[-1]  # 2 groups of 4
    8
    """

    stock_class = keras.layers.GroupNormalization
    channel_axes = {"gamma": {-1: "in"}, "beta": {-1: "in"}}

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        check_size(self, self.out_layout, "out_layout", self.in_layout.size)
        groups = self.in_layout.size if self.groups == -1 else self.groups
        self._group_size = max(1, self.in_layout.size // groups)
        cut = any(segment.size % self._group_size for segment in self.in_layout.segments)
        if cut and not self.in_layout.is_fixed:
            raise ValueError(
                "GroupNormalization keeps or drops whole normalisation groups, here of "
                f"{self._group_size} channels, and a segment of its input ends inside one. "
                f"Received: layer {self.name!r} with groups={self.groups}, "
                f"in_layout={self.in_layout}"
            )

    def build(self, input_shape):
        self._last_axis = self.axis in (-1, len(input_shape) - 1)
        if not self._last_axis and not self.in_layout.is_fixed:
            raise ValueError(
                "Slimmable GroupNormalization normalises the last axis. "
                f"Received: layer {self.name!r} with axis={self.axis}"
            )
        super().build(input_shape)

    def call(self, inputs, widths):
        if not self._last_axis:
            return super().call(inputs)
        rank, shape = len(inputs.shape), ops.shape(inputs)
        groups = shape[-1] // self._group_size
        outputs = ops.layer_normalization(
            ops.reshape(inputs, (-1, *shape[1:-1], groups, self._group_size)),
            self._grouped("gamma", widths, rank),
            self._grouped("beta", widths, rank),
            # All axes but the batch and the normalisation groups.
            [*range(1, rank - 1), rank],
            self.epsilon,
        )
        return ops.cast(ops.reshape(outputs, shape), self.compute_dtype)

    def _grouped(self, name, widths, rank):
        if getattr(self, name) is None:
            return None
        shape = (*[1] * (rank - 1), -1, self._group_size)
        return ops.reshape(self.active(name, widths), shape)

    def narrowed(self, widths):
        return {"groups": int(self.in_layout.width(widths)) // self._group_size}
