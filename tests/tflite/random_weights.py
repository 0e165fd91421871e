"""Weights that give a small network outputs worth comparing."""


def randomised(model, rng):
    """The model with weights drawn; those of layers named "norm" are positive, around 1."""
    model.set_weights(
        [
            rng.uniform(0.5, 1.5, weight.shape)
            if "norm" in weight.path
            else rng.normal(0, 0.3, weight.shape)
            for weight in model.weights
        ]
    )
    return model
