"""Writes a TFLite file in which equal tables, vectors and buffers stand once.

A flatbuffer is made of offsets: two tensors may refer to one shape, two operators to one set of
options, many tensors to one buffer. The converter shares nothing but buffers.
"""

import hashlib

import flatbuffers
import numpy as np

from keras_joslim.tflite.aligned_buffers import ALIGNMENT, AlignedBuffer


class SharedTables:
    """The contents of a TFLite file, gathered graph by graph.

    Example:

    >>> tables = SharedTables("two graphs")
    >>> tables.add_graph("narrow", tensors, operators, inputs, outputs)
    >>> data = tables.to_bytes()
    """

    def __init__(self, description):
        from ai_edge_litert import schema_py_generated as schema

        self._schema = schema
        self._model = schema.ModelT(
            version=3,
            operatorCodes=[],
            subgraphs=[],
            description=description,
            buffers=[schema.BufferT()],  # Tensors without data have buffer 0.
            signatureDefs=[],
        )
        self._codes, self._buffers, self._bytes = {}, {}, 0

    def buffer(self, data, key=()):
        """The index of the buffer with this content, added if it is new.

        Args:
            data: numpy array.
            key: hashable; buffers of equal content but different keys stay two.
        """
        data = np.ascontiguousarray(data).view(np.uint8).ravel()
        key = (hashlib.sha256(data).digest(), key)
        if key not in self._buffers:
            self._buffers[key] = len(self._model.buffers)
            self._model.buffers.append(AlignedBuffer(data))
            self._bytes += data.nbytes + ALIGNMENT
        return self._buffers[key]

    def operator_code(self, code, version):
        """The index of an operator code, added if it is new."""
        if (code, version) not in self._codes:
            self._codes[code, version] = len(self._model.operatorCodes)
            self._model.operatorCodes.append(
                self._schema.OperatorCodeT(
                    # The old field has one byte, and this value stands for "see the new one".
                    deprecatedBuiltinCode=min(code, 127),
                    builtinCode=code,
                    version=version,
                )
            )
        return self._codes[code, version]

    def add_graph(self, name, tensors, operators, inputs, outputs):
        """Adds a graph and its signature.

        Args:
            name: of the signature and of the graph.
            tensors: the schema's `TensorT`s.
            operators: the schema's `OperatorT`s.
            inputs, outputs: lists of `(name, tensor index)`.
        """
        schema = self._schema
        self._model.signatureDefs.append(
            schema.SignatureDefT(
                inputs=[schema.TensorMapT(name=n, tensorIndex=i) for n, i in inputs],
                outputs=[schema.TensorMapT(name=n, tensorIndex=i) for n, i in outputs],
                signatureKey=name,
                subgraphIndex=len(self._model.subgraphs),
            )
        )
        self._model.subgraphs.append(
            schema.SubGraphT(
                tensors=[_Once(_with_shared(tensor, "sparsity")) for tensor in tensors],
                operators=[_with_shared(operator, "builtinOptions") for operator in operators],
                inputs=np.array([i for _, i in inputs], np.int32),
                outputs=np.array([i for _, i in outputs], np.int32),
                name=name,
            )
        )

    def to_bytes(self):
        """The file; the same contents give the same bytes."""
        builder = _Builder(self._bytes + (1 << 20))
        builder.Finish(self._model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())


class _Builder(flatbuffers.Builder):
    """Writes equal vectors, strings and tables once."""

    def __init__(self, size):
        super().__init__(size)
        self._known = {}

    def once(self, key, write):
        """The offset of what `write()` wrote when `key` came first."""
        if key not in self._known:
            self._known[key] = write()
        return self._known[key]

    def CreateNumpyVector(self, x):  # noqa: N802 - overrides
        write = super().CreateNumpyVector
        return self.once((x.dtype.str, x.tobytes()), lambda: write(x))

    def CreateString(self, s, *args):  # noqa: N802 - overrides
        write = super().CreateString
        return self.once(s, lambda: write(s, *args))


class _Once:
    """A table of the schema that is written once however often it is packed."""

    def __init__(self, table):
        self._table = table
        self._key = _content(table)

    def Pack(self, builder):  # noqa: N802 - what the schema's tables call
        return builder.once(self._key, lambda: self._table.Pack(builder))


def _with_shared(table, field):
    """The table with one of its sub-tables written once."""
    inner = getattr(table, field)
    if inner is not None and not isinstance(inner, _Once):
        setattr(table, field, _Once(inner))
    return table


def _content(value):
    """What a table holds, hashable: equal of equal tables."""
    if isinstance(value, _Once):
        return value._key
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, list | tuple):
        return tuple(_content(item) for item in value)
    if hasattr(value, "Pack"):
        return type(value).__name__, tuple((k, _content(v)) for k, v in vars(value).items())
    return value
