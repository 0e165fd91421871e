"""One TFLite file with a signature for each point of a front: opening it, running a point."""

import pathlib
import struct

import numpy as np

from keras_joslim.tflite.interpreter import TensorFacts, image_count
from keras_joslim.tflite.quiet import native_logs
from keras_joslim.tflite.signature import by_name


class SingleFile:
    """A TFLite file of several points, loaded.

    All points are made ready at once, their kernels spread out value by value: opening takes
    longer than opening a file for each (docs/single_file.md), running does not.

    Args:
        file: the file as bytes, or its path.
        num_threads: threads of one inference.

    Attributes:
        points: tuple of the points' names, in the file's order.

    Raises:
        ValueError: no such file, not a TFLite file or a damaged one, one without signatures.

    Example:

    >>> file = SingleFile("front.tflite")
    >>> file.points
    ('p00', 'p01', 'p02')
    >>> file.run("p01", images).argmax(-1)
    """

    def __init__(self, file, num_threads=1):
        from ai_edge_litert import interpreter as litert

        if isinstance(file, bytes | bytearray | memoryview):
            data, self._name = bytes(file), "these bytes"
        else:
            path = pathlib.Path(file)
            if not path.is_file():
                raise ValueError(f"Expected a TFLite file. Received: path={str(path)!r}: no file")
            data, self._name = path.read_bytes(), str(path)
        self.points = _checked_signatures(data, self._name)
        with native_logs() as log:
            try:
                interpreter = litert.Interpreter(model_content=data, num_threads=num_threads)
                interpreter.allocate_tensors()
                self._runners = {p: interpreter.get_signature_runner(p) for p in self.points}
            except (ValueError, RuntimeError) as error:
                log.told = True
                raise ValueError(
                    f"LiteRT cannot run {self._name} ({len(data)} bytes): {error}"
                ) from error
        # The runners do not keep it.
        self._interpreter = interpreter

    def inputs(self, point):
        """The inputs of a point: tuple of `TensorFacts`."""
        return _facts(self._runner(point).get_input_details())

    def outputs(self, point):
        """The outputs of a point: tuple of `TensorFacts`."""
        return _facts(self._runner(point).get_output_details())

    def run(self, point, images):
        """Outputs of a batch by one point, computed image by image.

        Args:
            point: its name.
            images: array of shape `(n, height, width, channels)`; a dict name -> array for
                several inputs.

        Returns:
            An array of shape `(n, ...)`; a dict name -> array for several outputs.

        Raises:
            ValueError: an unknown point, images that do not fit.
        """
        runner, inputs = self._runner(point), self.inputs(point)
        batches = by_name(images, [facts.name for facts in inputs], "images")
        count = image_count(inputs, batches)
        batches = {facts.name: batches[facts.name].astype(facts.dtype) for facts in inputs}
        results = [
            runner(**{name: batch[i : i + 1] for name, batch in batches.items()})
            for i in range(count)
        ]
        outputs = {name: np.concatenate([r[name] for r in results]) for name in results[0]}
        return next(iter(outputs.values())) if len(outputs) == 1 else outputs

    def _runner(self, point):
        if point not in self._runners:
            raise ValueError(
                f"Expected a point out of {list(self.points)} in {self._name}. "
                f"Received: point={point!r}"
            )
        return self._runners[point]


def _facts(details):
    return tuple(
        TensorFacts(name, tuple(int(n) for n in d["shape"]), np.dtype(d["dtype"]).name)
        for name, d in details.items()
    )


def _checked_signatures(data, name):
    """The names of the signatures of a file whose sparse tensors are in order.

    LiteRT reads a sparse tensor without asking whether its indices fit.
    """
    from ai_edge_litert import schema_py_generated as schema

    if data[4:8] != b"TFL3":
        raise ValueError(
            f"Expected a TFLite file (identifier 'TFL3' at byte 4). "
            f"Received: {name}, {len(data)} bytes that start with {data[:8]!r}"
        )
    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data))
        signatures = tuple(s.signatureKey.decode() for s in model.signatureDefs or ())
        for graph in model.subgraphs:
            for tensor in graph.tensors:
                if tensor.sparsity is not None:
                    _check_sparse(tensor, model.buffers[tensor.buffer].data)
    # A damaged offset may lead anywhere.
    except (struct.error, IndexError, TypeError, ValueError, AttributeError, MemoryError) as error:
        raise ValueError(
            f"Expected a whole TFLite file. Received: {name}, {len(data)} bytes, cut short or "
            f"damaged ({error}). Export it again."
        ) from error
    if not signatures:
        raise ValueError(
            f"Expected a TFLite file with a signature for each point. Received: {name} without."
        )
    return signatures


def _check_sparse(tensor, values):
    """Checks that a sparse tensor reads what its buffer has, and writes what it has itself."""
    from ai_edge_litert.schema_py_generated import TensorType

    sparsity, rank, read = tensor.sparsity, len(tensor.shape), 1
    levels = list(zip(sparsity.traversalOrder, sparsity.dimMetadata, strict=True))
    block = {int(sparsity.blockMap[axis - rank]): level.denseSize for axis, level in levels[rank:]}
    for axis, level in levels:
        if level.arrayIndices is None:
            size = level.denseSize
            read *= size
        else:
            segments = np.asarray(level.arraySegments.values, np.int64)
            indices = level.arrayIndices.values
            if len(segments) != read + 1 or segments[-1] != len(indices) or segments[0] != 0:
                raise ValueError("a sparse tensor's segments do not fit")
            if (np.diff(segments) < 0).any():
                raise ValueError("a sparse tensor's segments are not in order")
            size, read = int(np.max(indices)) + 1, len(indices)
        if axis < rank and size > tensor.shape[axis] // block.get(int(axis), 1):
            raise ValueError("a sparse tensor's index is out of range")
    if tensor.type == TensorType.FLOAT32 and read * 4 > len(values):
        raise ValueError("a sparse tensor reads beyond its buffer")
