"""Data of a TFLite file's buffers, aligned as the schema asks; generated writers do not do it."""

# Bytes. XNNPACK reads vectors of this many.
ALIGNMENT = 16


def aligned_vector(builder, data):
    """Writes bytes so that the first stands at a multiple of `ALIGNMENT` in the file.

    Args:
        builder: a `flatbuffers.Builder`.
        data: bytes, or a uint8 array of one dimension.

    Returns:
        The offset of the vector.
    """
    builder.StartVector(1, len(data), ALIGNMENT)
    builder.head -= len(data)
    builder.Bytes[builder.head : builder.head + len(data)] = bytes(data)
    return builder.EndVector()


class AlignedBuffer:
    """A buffer's table, in the place of the schema's `BufferT`.

    Args:
        data: its content, as for `aligned_vector`.

    Example:

    >>> model.buffers.append(AlignedBuffer(kernel.view(np.uint8).ravel()))
    """

    def __init__(self, data):
        self._data = data

    def Pack(self, builder):  # noqa: N802 - what the schema's tables call
        from ai_edge_litert import schema_py_generated as schema

        vector = aligned_vector(builder, self._data)
        schema.BufferStart(builder)
        schema.BufferAddData(builder, vector)
        return schema.BufferEnd(builder)
