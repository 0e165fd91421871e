"""Runs a TFLite file on numpy images through the LiteRT interpreter, one image at a time."""

import dataclasses
import pathlib

import numpy as np

from keras_joslim.tflite.quiet import native_logs
from keras_joslim.tflite.signature import by_name


@dataclasses.dataclass(frozen=True)
class TensorFacts:
    """One input or output of a TFLite file.

    Attributes:
        name: as in the file's signature.
        shape: tuple of ints, batch included.
        dtype: "float32", "int8"...
        scale: of a quantised tensor: the real number is `scale * (integer - zero_point)`; None of
            one that holds its numbers as they are.
        zero_point: the integer that stands for 0; None likewise.
    """

    name: str
    shape: tuple
    dtype: str
    scale: float | None = None
    zero_point: int | None = None

    def to_dict(self):
        """A JSON object."""
        return dataclasses.asdict(self) | {"shape": list(self.shape)}

    @property
    def accepts(self):
        """The dtype of the numbers that it stands for."""
        return self.dtype if self.scale is None else "float32"

    def quantise(self, values):
        """Real numbers as the tensor holds them: rounded, and clipped to what it can hold.

        Args:
            values: array of any shape.

        Returns:
            An array of `dtype`; `values` themselves in that dtype if it is not quantised.
        """
        if self.scale is None:
            return np.ascontiguousarray(values, self.dtype)
        limits = np.iinfo(self.dtype)
        integers = np.rint(np.asarray(values, np.float32) / np.float32(self.scale))
        return np.clip(integers + self.zero_point, limits.min, limits.max).astype(self.dtype)

    def dequantise(self, values):
        """What the tensor holds as the real numbers that it stands for.

        Args:
            values: array of `dtype`, of any shape.

        Returns:
            A float32 array; `values` themselves if it is not quantised.
        """
        if self.scale is None:
            return values
        return (values.astype(np.float32) - self.zero_point) * np.float32(self.scale)


class Interpreter:
    """A TFLite file, loaded and with its tensors allocated.

    Args:
        model: the file as bytes, or its path.
        num_threads: threads of one inference.

    Attributes:
        inputs, outputs: tuples of `TensorFacts`.

    Raises:
        ValueError: no such file, not a TFLite file, or operators that the interpreter lacks.

    Example:

    >>> Interpreter("models/p00.fp32.tflite").inputs
    (TensorFacts(name='image', shape=(1, 8, 8, 1), dtype='float32'),)
    """

    def __init__(self, model, num_threads=1):
        from ai_edge_litert import interpreter as litert

        if isinstance(model, bytes | bytearray | memoryview):
            data, name = bytes(model), "these bytes"
        else:
            path = pathlib.Path(model)
            if not path.is_file():
                raise ValueError(f"Expected a TFLite file. Received: path={str(path)!r}: no file")
            data, name = path.read_bytes(), str(path)
        with native_logs() as log:
            try:
                self._interpreter = litert.Interpreter(model_content=data, num_threads=num_threads)
                self._interpreter.allocate_tensors()
            except (ValueError, RuntimeError) as error:
                log.told = True
                raise ValueError(
                    f"LiteRT cannot run {name} ({len(data)} bytes): {error}"
                ) from error
        self._in = _by_signature(self._interpreter, "inputs")
        self._out = _by_signature(self._interpreter, "outputs")
        self.inputs = tuple(_facts(*item) for item in self._in.items())
        self.outputs = tuple(_facts(*item) for item in self._out.items())

    def run(self, images):
        """Outputs of a batch, computed image by image.

        Real numbers go in and come out, of a quantised file too: its own scale and zero point
        translate them.

        Args:
            images: array of shape `(n, ...)`, or a dict name -> array for several inputs.

        Returns:
            An array of shape `(n, ...)`, or a dict name -> array for several outputs.

        Raises:
            ValueError: images whose names, shape or dtype do not fit the file.
        """
        if isinstance(images, list | tuple) and len(self._in) > 1:
            # The file's order is not the model's.
            raise ValueError(
                f"Expected images as a dict with the keys {list(self._in)}. Received: a "
                f"{type(images).__name__} of {len(images)}"
            )
        batches = by_name(images, list(self._in), "images")
        count = image_count(self.inputs, batches)
        outputs = {name: [] for name in self._out}
        # (Resizing the inputs to a batch gains nothing: networks of milliseconds an image take as
        # long, and the tensors of a batch no longer fit the cache.)
        for index in range(count):
            for facts in self.inputs:
                image = facts.quantise(batches[facts.name][index : index + 1])
                self._interpreter.set_tensor(self._in[facts.name]["index"], image)
            self._interpreter.invoke()
            for name, detail in self._out.items():
                outputs[name].append(self._interpreter.get_tensor(detail["index"]))
        outputs = {
            facts.name: facts.dequantise(np.concatenate(outputs[facts.name]))
            for facts in self.outputs
        }
        return next(iter(outputs.values())) if len(outputs) == 1 else outputs


def run(model, images, num_threads=1):
    """Runs a TFLite file on images, with a fresh interpreter.

    Args:
        model: the file as bytes, or its path.
        images: array of shape `(n, height, width, channels)`; a dict name -> array for several
            inputs.
        num_threads: threads of one inference.

    Returns:
        An array of shape `(n, ...)`; a dict name -> array for several outputs.

    Raises:
        ValueError: a file that cannot be run, images that do not fit.

    Example:

    >>> run("models/p00.fp32.tflite", images).argmax(-1)
    """
    return Interpreter(model, num_threads).run(images)


def _by_signature(interpreter, which):
    """name -> details of the inputs or outputs; files without a signature use tensor names."""
    if len(interpreter.get_signature_list()) == 1:
        runner = interpreter.get_signature_runner()
        return getattr(runner, f"get_{which[:-1]}_details")()
    details = getattr(interpreter, f"get_{which[:-1]}_details")()
    return {detail["name"]: detail for detail in details}


def image_count(inputs, batches):
    """The number of images, which must fit the inputs of a file.

    Args:
        inputs: `TensorFacts`.
        batches: dict input name -> array.

    Raises:
        ValueError: images whose shape, dtype or number do not fit.
    """
    for facts in inputs:
        batch = batches[facts.name]
        shape = facts.shape[1:]
        if batch.ndim == 0 or batch.shape[1:] != shape or len(batch) == 0:
            raise ValueError(
                f"Expected at least one image of shape {shape} for input {facts.name!r}. "
                f"Received: images of shape {batch.shape}"
            )
        if not np.can_cast(batch.dtype, facts.accepts, "same_kind"):
            raise ValueError(
                f"Expected images that {facts.accepts} can hold for input {facts.name!r}. "
                f"Received: dtype={batch.dtype}"
            )
    counts = {name: len(batch) for name, batch in batches.items()}
    if len(set(counts.values())) != 1:
        raise ValueError(f"Expected as many images for each input. Received: {counts}")
    return next(iter(counts.values()))


def _facts(name, detail):
    shape = tuple(int(size) for size in detail["shape"])
    scale, zero_point = detail["quantization"]
    # LiteRT says (0.0, 0) of a tensor that is not quantised.
    quantised = (float(scale), int(zero_point)) if scale else ()
    return TensorFacts(name, shape, np.dtype(detail["dtype"]).name, *quantised)
