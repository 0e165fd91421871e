"""Label smoothing for class numbers, which Keras has for one-hot labels only."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_joslim")
class SmoothedCrossentropy(keras.losses.SparseCategoricalCrossentropy):
    """Cross-entropy to labels of which a share is spread over all classes.

    Szegedy et al., "Rethinking the Inception Architecture", CVPR 2016, section 7: the target of
    an image of class c is `1 - label_smoothing` at c, plus `label_smoothing / classes` everywhere.
    Distillation takes the full network's output as it is, without smoothing.

    Args:
        label_smoothing: the share, in [0, 1).
        from_logits: whether outputs are logits rather than probabilities.
        reduction, name, dtype: as of every Keras loss.

    Raises:
        ValueError: a share outside of [0, 1).

    Example:

    >>> slim.compile("sgd", SmoothedCrossentropy(0.1, from_logits=True))
    """

    def __init__(
        self,
        label_smoothing,
        from_logits=False,
        reduction="sum_over_batch_size",
        name="smoothed_crossentropy",
        dtype=None,
    ):
        if isinstance(label_smoothing, bool) or not 0 <= label_smoothing < 1:
            raise ValueError(
                "Label smoothing is a share of at least 0 and below 1. "
                f"Received: label_smoothing={label_smoothing!r}"
            )
        super().__init__(from_logits=from_logits, reduction=reduction, name=name, dtype=dtype)
        self.label_smoothing = float(label_smoothing)

    def call(self, y_true, y_pred):
        of_class = super().call(y_true, y_pred)
        y_pred = ops.convert_to_tensor(y_pred)
        if self.from_logits:
            logarithms = ops.log_softmax(y_pred)
        else:
            tiny = keras.config.epsilon()
            logarithms = ops.log(ops.clip(y_pred, tiny, 1.0 - tiny))
        of_all = -ops.mean(logarithms, axis=-1)
        return (1.0 - self.label_smoothing) * of_class + self.label_smoothing * of_all

    def get_config(self):
        config = {**super().get_config(), "label_smoothing": self.label_smoothing}
        del config["ignore_class"]
        return config
