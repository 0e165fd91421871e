"""What a converter makes of a network at any widths, by looking at a few of its files.

Here, and here only, costs reach to `keras_joslim.tflite` (which imports no costs) and to
extraction, both imported where used.
"""

import math

import numpy as np
from tqdm import tqdm

from keras_joslim.channel_layout import ChannelLayout
from keras_joslim.costs.symbolic_file import SymbolicFile
from keras_joslim.costs.width_functions import WidthFunctions, telling_rows

# The exported networks are chosen among the full, the smallest and so many random ones.
_CHOICE = 512
# Images that an integer format takes its ranges from; the ranges mean nothing.
_IMAGES = 2


class ProbedFiles:
    """Files of a few sub-networks, three or four as a rule, and what they tell of all others.

    Args:
        model: a `SlimmableModel`.
        format: number format of the files.

    Attributes:
        rows: int `(n, groups)`, their widths, the full ones first.
        data: the files as bytes.
        graphs: `tflite.liveness.FileGraph` of each.
        symbolic: the `SymbolicFile` that they are.

    Raises:
        ValueError: an input without a static shape, files that differ in more than sizes.
        FormatError: the model cannot have the format.
    """

    def __init__(self, model, format="fp32"):  # noqa: A002 - the word of the field
        from keras_joslim.tflite.liveness import read_graph

        _refuse_dynamic(model)
        layouts = _layouts(model)
        self.rows = _probes(model, layouts)
        self.data = [
            _exported(model, widths, seed, format)
            for seed, widths in enumerate(tqdm(self.rows, "exporting sub-networks", leave=False))
        ]
        self.graphs = [read_graph(data) for data in self.data]
        self.symbolic = SymbolicFile(self.graphs, WidthFunctions(layouts, self.rows))


def _refuse_dynamic(model):
    for tensor in model.inputs:
        if None in tensor.shape[1:]:
            name = tensor._keras_history.operation.name
            raise ValueError(
                f"Input {name!r} has no static shape, so the memory and the latency of the network "
                f"are unknown. Received: shape={tuple(tensor.shape)}. Build the model with a fixed "
                "height and width."
            )


def _layouts(model):
    """The channel layouts that the network's layers know of, each once."""
    known = [value for call in model.layer_calls() for value in vars(call.layer).values()]
    known += [part for value in known if isinstance(value, list | tuple) for part in value]
    return list(dict.fromkeys(value for value in known if isinstance(value, ChannelLayout)))


def _probes(model, layouts):
    """The widths of the networks to export: int `(n, groups)`, the full one first."""
    space = model.width_space
    rows = np.concatenate(
        [[space.full, space.smallest], space.sample(np.random.default_rng(0), _CHOICE)]
    )
    # (The smallest network is where the converter is most likely to do something else.)
    pads = [call.layer for call in model.layer_calls() if hasattr(call.layer, "pad_width")]
    added = [pad.out_layout.width(rows) - pad.in_layout.width(rows) for pad in pads]
    chosen = telling_rows(layouts, rows)
    if pads:
        # Without as many of its pads as can be: are they left out?
        chosen.append(int(np.argmin(np.count_nonzero(added, axis=0))))
    return rows[list(dict.fromkeys(chosen))]


def _exported(model, widths, seed, file_format):
    """The file of one sub-network, of random weights."""
    from keras_joslim.graph import extract_network
    from keras_joslim.tflite.convert import to_tflite
    from keras_joslim.tflite.formats import find_format

    network = extract_network(model.network, widths, model.name)
    rng = np.random.default_rng(seed)
    for layer in network._flatten_layers():
        for weight in layer._trainable_variables + layer._non_trainable_variables:
            if "float" in weight.dtype:
                # As after training: nothing is zero and no two vectors are equal; and values
                # stay near 1 through many layers, for an integer format has to hold them.
                scale = 1.0 / _fan_in(layer, weight.shape) if len(weight.shape) > 1 else 1.0
                weight.assign(scale * rng.uniform(0.5, 1.5, weight.shape))
    images = None
    if find_format(file_format).needs_images:
        images = {
            tensor._keras_history.operation.name: rng.random((_IMAGES, *tensor.shape[1:]))
            for tensor in network.inputs
        }
    return to_tflite(network, file_format, representative=images)


def _fan_in(layer, shape):
    """Inputs that one output sums, roughly."""
    depthwise = "Depthwise" in type(layer).__name__
    return math.prod(shape[:2]) if depthwise else math.prod(shape[:-1])
