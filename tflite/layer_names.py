"""Which Keras layer an operator of a TFLite file comes from, as well as its tensors tell."""

import re

# The converter names a tensor after the operations fused into it, "a/b/c;a/d/e": each is a path of
# name scopes, and TensorFlow ends a scope that it has met before on a number.
_COUNTED = re.compile(r"(.+)_\d+")


def layer_of(model, tensor):
    """The layer whose computation a tensor's name tells of.

    Args:
        model: the Keras model that the file was made from.
        tensor: name of a tensor in the file.

    Returns:
        The layer's name, the innermost one of a nested model; None if the name tells of none.

    Example:

    >>> layer_of(model, "small_1/stem_relu_1/Relu6;small_1/stem_norm_1/batchnorm/add_1")
    'stem_relu'
    """
    layers = {layer.name for layer in model._flatten_layers() if not hasattr(layer, "layers")}
    for path in tensor.split(";"):
        found = None
        for scope in path.split("/"):
            counted = _COUNTED.fullmatch(scope)
            # "conv_1" is the scope of layer "conv" rather than of "conv_1", which is "conv_1_1".
            # Quantisation-aware training wraps layers: "quant_conv".
            for name in (counted and counted[1], scope, scope.removeprefix("quant_")):
                if name in layers:
                    found = name
                    break
        if found:
            return found
    return None


def named_operators(model, graph, positions, limit=4):
    """Operators of a file with their layers, as words for a message.

    Args:
        model: as for `layer_of`.
        graph: a `FileGraph`.
        positions: which operators, in execution order.
        limit: how many are named at most.

    Returns:
        For example "SIN (layer 'wave'), ELU (layer 'act') and 2 more".
    """
    words = []
    for position in positions:
        operator = graph.operators[position]
        names = (graph.tensors[index].name for index in operator.outputs)
        layer = next(filter(None, (layer_of(model, name) for name in names)), None)
        word = operator.name if layer is None else f"{operator.name} (layer {layer!r})"
        if word not in words:
            words.append(word)
    more = f" and {len(words) - limit} more" if len(words) > limit else ""
    return ", ".join(words[:limit]) + more
