"""Ways to run a convolution whose kernel is a slice of another one's, in one TFLite file.

    python benchmarks/kernel_slices.py [--seconds=2]

1x1 convolutions of MobileNetV2 at 0.7 of their channels on both sides, one thread, run in turn in
random order; minima as ratios to a kernel that is stored by itself. The file that
`export_single_file` writes has the second and the third.
"""

import argparse
import os
import time

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from keras_joslim.tflite.single_file.kernel_blocks import KernelBlocks
from keras_joslim.tflite.single_file.shared_graph import sparsity_table
from keras_joslim.tflite.single_file.shared_tables import SharedTables

CODE = schema.BuiltinOperator
# Pixels of the square image, full input and output channels.
LAYERS = [(7, 160, 960), (7, 960, 160), (14, 64, 384), (14, 384, 64), (56, 24, 144), (112, 16, 96)]


class Graph:
    """One graph, written operator by operator."""

    def __init__(self):
        self.tables, self.tensors, self.operators = SharedTables("slices"), [], []

    def tensor(self, shape, values=None, sparsity=None, kind=schema.TensorType.FLOAT32):
        buffer = 0 if values is None else self.tables.buffer(values)
        shape = np.array(shape, np.int32)
        self.tensors.append(
            schema.TensorT(shape=shape, type=kind, buffer=buffer, sparsity=sparsity)
        )
        return len(self.tensors) - 1

    def constant(self, values):
        kind = schema.TensorType.INT32 if values.dtype == np.int32 else schema.TensorType.FLOAT32
        return self.tensor(values.shape, values, kind=kind)

    def operator(self, name, options, inputs, outputs):
        kind = type(options).__name__[:-1]
        self.operators.append(
            schema.OperatorT(
                opcodeIndex=self.tables.operator_code(getattr(CODE, name), 1),
                builtinOptionsType=getattr(schema.BuiltinOptions, kind),
                builtinOptions=options,
                inputs=np.array(inputs, np.int32),
                outputs=np.array(outputs, np.int32),
            )
        )

    def convolution(self, image, kernel, bias, output):
        options = schema.Conv2DOptionsT(strideW=1, strideH=1)
        self.operator("CONV_2D", options, [image, kernel, bias], [output])


def file(way, pixels, whole, rows, columns):
    """A file that applies `whole[:rows, :, :, :columns]` to an image."""
    graph = Graph()
    image = graph.tensor((1, pixels, pixels, columns))
    output = graph.tensor((1, pixels, pixels, rows))
    bias, part = graph.constant(np.zeros(rows, np.float32)), (rows, 1, 1, columns)
    if way == "own kernel":
        kernel = graph.constant(np.ascontiguousarray(whole[:rows, :, :, :columns]))
        graph.convolution(image, kernel, bias, output)
    elif way.startswith("DENSIFY"):
        maps = {
            "full": tuple(np.arange(n) for n in whole.shape),
            "part": tuple(np.arange(n) for n in part),
        }
        blocks = KernelBlocks(whole.shape, maps)
        table = sparsity_table(schema, blocks.reading("part"))
        sparse, kernel = graph.tensor(part, blocks.ordered(whole), table), graph.tensor(part)
        graph.operator("DENSIFY", schema.DensifyOptionsT(), [sparse], [kernel])
        scaled = way.endswith("MUL")
        made = graph.tensor((1, pixels, pixels, rows)) if scaled else output
        graph.convolution(image, kernel, bias, made)
        if scaled:
            factor = graph.constant(np.ones(rows, np.float32))
            graph.operator("MUL", schema.MulOptionsT(), [made, factor], [output])
    else:
        flat = way.endswith("FULLY_CONNECTED")
        size = np.array((rows, columns) if flat else part, np.int32)
        source = graph.constant(whole[:, 0, 0] if flat else whole)
        kernel, begin = graph.tensor(size), graph.constant(np.zeros_like(size))
        graph.operator(
            "SLICE", schema.SliceOptionsT(), [source, begin, graph.constant(size)], [kernel]
        )
        if flat:
            options = schema.FullyConnectedOptionsT(keepNumDims=True)
            graph.operator("FULLY_CONNECTED", options, [image, kernel, bias], [output])
        else:
            graph.convolution(image, kernel, bias, output)
    graph.tables.add_graph(
        "part", graph.tensors, graph.operators, [("image", image)], [("output", output)]
    )
    return graph.tables.to_bytes()


WAYS = ["own kernel", "DENSIFY", "DENSIFY, MUL", "SLICE, CONV_2D", "SLICE, FULLY_CONNECTED"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="a layer and way")
    seconds, rng = parser.parse_args().seconds, np.random.default_rng(0)
    print("| pixels, in, out | own kernel, us | " + " | ".join(WAYS[1:]) + " |")
    print("|---" * (1 + len(WAYS)) + "|")
    for pixels, inputs, outputs in LAYERS:
        whole = rng.normal(size=(outputs, 1, 1, inputs)).astype(np.float32)
        rows, columns = (int(0.7 * n) // 8 * 8 for n in (outputs, inputs))
        image = rng.normal(size=(1, pixels, pixels, columns)).astype(np.float32)
        expected = image @ whole[:rows, 0, 0, :columns].T
        loaded, times = {}, {way: [] for way in WAYS}
        for way in WAYS:
            data = file(way, pixels, whole, rows, columns)
            loaded[way] = interpreter = Interpreter(model_content=data, num_threads=1)
            interpreter.allocate_tensors()
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
            interpreter.invoke()
            actual = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
            np.testing.assert_allclose(actual, expected, atol=1e-3)
        deadline = time.monotonic() + seconds * len(WAYS)
        while time.monotonic() < deadline:
            for way in rng.permutation(WAYS):
                loaded[way].invoke()
                start = time.perf_counter()
                loaded[way].invoke()
                times[way].append(time.perf_counter() - start)
        own = min(times["own kernel"])
        ratios = " | ".join(f"{min(times[way]) / own:.2f}" for way in WAYS[1:])
        print(f"| {pixels} x {pixels}, {columns}, {rows} | {1e6 * own:.0f} | {ratios} |")


if __name__ == "__main__":
    main()
