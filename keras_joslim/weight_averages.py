"""Moving averages of the weights: outside of `fit` the model has them, inside the trained ones."""

import keras


class WeightAverages:
    """Keeps the trained weights of a model whose optimizer averages them (`use_ema`).

    Keras puts the averages in the place of the weights at the end of every `fit`. What is trained
    further, or saved to be trained further, must be the weights as they were before that.

    Does nothing where the optimizer keeps no averages.

    Args:
        model: the compiled model, its optimizer built.

    Attributes:
        trained: the trained weights as numpy arrays, as long as the model has the averages (or is
            about to get them); else `None`.
    """

    def __init__(self, model):
        self._model = model
        self.trained = None

    def keep(self):
        """Before Keras puts the averages in their place: keeps the trained weights."""
        optimizer = self._model.optimizer
        if getattr(optimizer, "inner_optimizer", optimizer).use_ema:
            weights = self._model.trainable_weights
            self.trained = [keras.ops.convert_to_numpy(weight) for weight in weights]

    def show(self):
        """Does what Keras does at the end of a `fit`, the trained weights being kept."""
        self.keep()
        if self.trained is not None:
            self._model.optimizer.finalize_variable_values(self._model.trainable_weights)
        self.refuse_zeros()

    def refuse_zeros(self):
        """Puts the weights back where there is no average yet, but the zeros that it begins with.

        Under a scaled loss all steps so far may have been skipped.
        """
        if not int(keras.ops.convert_to_numpy(self._model.optimizer.iterations)):
            self.put_back()

    def put_back(self):
        """Gives the model its trained weights, to train them further."""
        if self.trained is not None:
            for weight, value in zip(self._model.trainable_weights, self.trained, strict=True):
                weight.assign(value)
        self.forget()

    def forget(self):
        """The model has its trained weights."""
        self.trained = None
