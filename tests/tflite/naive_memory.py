"""What a TFLite file has in memory, counted the slow way, without the library."""

import numpy as np
from ai_edge_litert import interpreter as litert
from ai_edge_litert import schema_py_generated as schema

SIZES = {schema.TensorType.FLOAT32: 4, schema.TensorType.INT32: 4, schema.TensorType.INT64: 8}


def naive_activation_bytes(data):
    """For every operator, the sum over all tensors that exist and are still wanted."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytes(data)))
    graph = model.subgraphs[0]
    peak = 0
    for step in range(len(graph.operators)):
        done = [i for o in graph.operators[: step + 1] for i in o.outputs]
        wanted = [i for o in graph.operators[step:] for i in o.inputs]
        now = list(graph.operators[step].outputs)
        total = 0
        for index, tensor in enumerate(graph.tensors):
            exists = index in graph.inputs or index in done
            if exists and (index in wanted or index in graph.outputs or index in now):
                size = int(np.prod([int(n) for n in _list(tensor.shape)])) * SIZES[tensor.type]
                total += size
        peak = max(peak, total)
    return peak


def naive_weight_bytes(data):
    """The bytes that lie in the buffers of the file's tensors, every buffer once."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytes(data)))
    used = {tensor.buffer for tensor in model.subgraphs[0].tensors}
    return sum(len(_list(model.buffers[index].data)) for index in used)


def address_range(data):
    """From the first to the last address of the tensors that are no constants, no delegate."""
    interpreter = litert.Interpreter(
        model_content=bytes(data),
        num_threads=1,
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytes(data)))
    tensors = model.subgraphs[0].tensors
    starts, ends = [], []
    for detail in interpreter.get_tensor_details():
        index = detail["index"]
        if index < len(tensors) and len(_list(model.buffers[tensors[index].buffer].data)):
            continue
        array = interpreter.tensor(index)()
        start = array.__array_interface__["data"][0]
        starts.append(start)
        ends.append(start + array.nbytes)
    return max(ends) - min(starts)


def _list(value):
    return [] if value is None else value
