"""What a manifest says of a file that no data tells: what is in it, and what made it."""

import collections
import importlib.metadata

from keras_joslim.tflite.arena import arena_bytes
from keras_joslim.tflite.delegated import delegated
from keras_joslim.tflite.liveness import SeveralGraphsError, read_graph
from keras_joslim.tflite.operators import operators


def operator_counts(data):
    """Dict operator -> how many."""
    return dict(sorted(collections.Counter(operators(data)).items()))


def weights_by_type(data):
    """Dict dtype -> bytes of the constants; `None` for a file with loops or branches."""
    try:
        graph = read_graph(data)
    except SeveralGraphsError:
        return None
    buffers = {t.buffer: t for t in graph.tensors if t.buffer is not None}
    sizes = collections.Counter()
    for tensor in buffers.values():
        sizes[tensor.dtype] += tensor.data.nbytes
    return dict(sorted(sizes.items()))


def arena(data):
    """Bytes of the arena; `None` for a file with loops or branches."""
    try:
        return arena_bytes(data)
    except SeveralGraphsError:
        return None


def xnnpack(data):
    """`Delegated.to_dict()`; `None` where the interpreter does not tell."""
    found = delegated(data)
    return None if found is None else found.to_dict()


def versions():
    """Dict package -> version of what makes a file."""
    import keras
    import tensorflow as tf

    return {
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "ai_edge_litert": importlib.metadata.version("ai-edge-litert"),
    }
