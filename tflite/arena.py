"""Memory that the built-in interpreter sets aside for a TFLite file, read from its addresses."""

from keras_joslim.tflite.liveness import read_graph
from keras_joslim.tflite.quiet import native_logs

# The interpreter puts every tensor at a multiple of it.
_ALIGNMENT = 64


def arena_bytes(data):
    """Bytes that the built-in interpreter allocates for the tensors of a TFLite file.

    No delegate, one thread. Tensors that are not live together share addresses; kernel
    temporaries (the unfolded image of a convolution above all) are in it, constants are not,
    unless a kernel keeps a copy (of float16 constants, expanded to float32). Every tensor is
    rounded up to the interpreter's alignment of 64 bytes.

    It is mostly well above `activation_bytes`, but no upper bound of it: kernels such as ADD and
    MUL write over an operand that nothing else reads.

    Args:
        data: the file as bytes.

    Returns:
        Bytes, an int.

    Raises:
        ValueError: not a TFLite file, or one that the built-in interpreter cannot run.

    Example:

    >>> arena_bytes(to_tflite(model))
    798720
    """
    from ai_edge_litert import interpreter as litert

    data = bytes(data)
    constants = {index for index, t in enumerate(read_graph(data).tensors) if t.buffer is not None}
    with native_logs() as log:
        try:
            interpreter = litert.Interpreter(
                model_content=data,
                num_threads=1,
                experimental_op_resolver_type=(
                    litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
                ),
            )
            interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            log.told = True
            raise ValueError(
                f"The built-in interpreter cannot run this TFLite file ({len(data)} bytes): {error}"
            ) from error
    spans = []
    for detail in interpreter.get_tensor_details():
        if detail["index"] not in constants:
            spans.append(_span(interpreter, detail["index"]))
    return _covered(span for span in spans if span)


def _span(interpreter, index):
    """(start, end) of a tensor's memory, or None if it has none."""
    try:
        array = interpreter.tensor(index)()
    except ValueError:
        # Some kernels allocate while they run.
        return None
    start = array.__array_interface__["data"][0]
    return start, start + -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT


def _covered(spans):
    """Number of addresses in the union of the spans."""
    total, end = 0, 0
    for start, stop in sorted(spans):
        total += max(0, stop - max(start, end))
        end = max(end, stop)
    return total
