"""Multiply-accumulates of a stock model, counted by other means than the costs'."""

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2


def profiled_macs(model):
    """TensorFlow's own profiler on the frozen graph: two operations a multiply-accumulate.

    Only the kernel operations are taken: it also counts biases, BatchNormalization and
    pooling, which are no multiply-accumulates.
    """
    specs = keras.tree.map_structure(
        lambda tensor: tf.TensorSpec((1, *tensor.shape[1:]), tensor.dtype), model._inputs_struct
    )
    function = tf.function(lambda x: model(x)).get_concrete_function(specs)
    frozen = convert_variables_to_constants_v2(function)
    profiler = tf.compat.v1.profiler
    options = (
        profiler.ProfileOptionBuilder(profiler.ProfileOptionBuilder.float_operation())
        .with_empty_output()
        .account_displayed_op_only(True)
        .with_node_names(show_name_regexes=[".*"])
        .order_by("name")
        .build()
    )
    report = profiler.profile(frozen.graph, cmd="scope", options=options)
    kinds = {op.name: op.type for op in frozen.graph.get_operations()}
    operations = 0

    def add(node):
        nonlocal operations
        if kinds.get(node.name) in ("Conv2D", "DepthwiseConv2dNative", "MatMul", "BatchMatMulV2"):
            operations += node.float_ops
        for child in node.children:
            add(child)

    add(report)
    assert operations % 2 == 0
    return operations // 2


def kernel_macs(model):
    """Every kernel's size times the pixels it is applied to, call by call, from shapes alone.

    Those are the output's pixels, of a transposed convolution the input's.
    """
    total = 0
    for node in nodes(model):
        transposed = type(node.operation).__name__.endswith("Transpose")
        tensor = node.input_tensors[0] if transposed else node.outputs[0]
        for weight in getattr(node.operation, "weights", ()):
            if weight.name in ("kernel", "depthwise_kernel", "pointwise_kernel"):
                total += int(np.prod(weight.shape)) * int(np.prod(tensor.shape[1:-1]))
    return total


def nodes(model):
    """The calls in a functional model, inputs aside."""
    every = [node for depth in model._nodes_by_depth.values() for node in depth]
    return [node for node in every if not node.is_input]
