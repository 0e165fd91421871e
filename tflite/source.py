"""Where a model to be exported comes from, and the hash that says whether it changed."""

import hashlib
import json
import pathlib

from keras_joslim.tflite.manifest import sha256


class Source:
    """A model to be exported, loaded only when it must be.

    Args:
        given: a `keras.Model`, the path of a `.keras` file, or a function without arguments that
            returns a model.
        point: name of the point, for messages.

    Attributes:
        sha256: of the `.keras` file, else of the model's config and weights.

    Raises:
        ValueError: something else, or a path without a file.
    """

    def __init__(self, given, point):
        self._point = point
        self._model = None
        self._path = None
        if isinstance(given, str | pathlib.Path):
            self._path = pathlib.Path(given)
            if not self._path.is_file():
                raise ValueError(
                    f"Expected the .keras file of point {point!r}. "
                    f"Received: {str(self._path)!r}: no file"
                )
            self.sha256 = sha256(self._path.read_bytes())
        else:
            # A keras.Model is callable too: it is told by its graph.
            self._model = given if hasattr(given, "get_weights") else self._called(given)
            self.sha256 = model_sha256(self._model)

    def model(self):
        """The Keras model.

        Raises:
            ValueError: a file that Keras cannot load.
        """
        if self._model is None:
            import keras

            try:
                self._model = keras.saving.load_model(self._path, compile=False)
            except Exception as error:
                raise ValueError(
                    f"Keras cannot load the model of point {self._point!r} from "
                    f"{str(self._path)!r}: {error}"
                ) from error
        return self._model

    def _called(self, given):
        model = given() if callable(given) else given
        if not hasattr(model, "get_weights"):
            raise ValueError(
                "Expected a keras.Model, the path of a .keras file, or a function that returns a "
                f"model for point {self._point!r}. Received: {type(model).__name__}"
            )
        return model


def model_sha256(model):
    """A hash over the config and the weights of a Keras model; the compile state is left out.

    Args:
        model: a `keras.Model`.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    digest.update(json.dumps(model.get_config(), sort_keys=True, default=repr).encode())
    for value in model.get_weights():
        digest.update(f"{value.dtype}{value.shape}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()
