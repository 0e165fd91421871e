"""Parameters of a sub-network."""

from keras_joslim.costs.bilinear import BilinearCost


class Parameters(BilinearCost):
    """Weights and biases of a sub-network.

    Args:
        model: a `SlimmableModel`.
        batch_norm: `"folded"` (default) counts what a deployed file holds: a
            BatchNormalization right after a convolution or dense layer becomes
            that layer's bias, any other one a scale and an offset a channel.
            `"counted"` counts its four vectors, as `keras.Model.count_params`.

    Raises:
        ValueError: another value of `batch_norm`.
    """

    name = "parameters"
    unit = "parameters"

    def __init__(self, model, batch_norm="folded"):
        if batch_norm not in ("folded", "counted"):
            raise ValueError(
                f"Expected batch_norm='folded' or 'counted'. Received: batch_norm={batch_norm!r}"
            )
        seen, terms = set(), []
        for call in model.layer_calls():
            if id(call.layer) not in seen:
                seen.add(id(call.layer))
                terms += call.parameters(folded=batch_norm == "folded")
        super().__init__(terms, len(model.width_space))
