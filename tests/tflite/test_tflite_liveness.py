"""What is live when, on files written by hand, and on converted ones against a slow count."""

import flatbuffers
import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from keras_joslim import tflite
from keras_joslim.tflite.liveness import read_graph
from tests.tflite.naive_memory import naive_activation_bytes, naive_weight_bytes

layers = keras.layers
FLOAT = schema.TensorType.FLOAT32


def tensor(shape, buffer=0, kind=FLOAT, signature=None):
    """A tensor; buffer 0 is the empty one."""
    made = schema.TensorT()
    made.name, made.type, made.buffer = b"t", kind, buffer
    made.shape, made.shapeSignature = np.array(shape, np.int32), signature
    return made


def operator(inputs, outputs, code=0):
    made = schema.OperatorT()
    made.opcodeIndex, made.inputs, made.outputs = code, inputs, outputs
    return made


def written(tensors, operators, inputs, outputs, buffers=(), graphs=1):
    """A TFLite file; operators of code 0 are ADD, of code 1 are PAD."""
    graph = schema.SubGraphT()
    graph.tensors, graph.operators = tensors, operators
    graph.inputs, graph.outputs = inputs, outputs
    model = schema.ModelT()
    model.version, model.subgraphs, model.buffers = 3, [graph] * graphs, [schema.BufferT()]
    for data in buffers:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(data, np.uint8)
        model.buffers.append(buffer)
    model.operatorCodes = []
    for code in (schema.BuiltinOperator.ADD, schema.BuiltinOperator.PAD):
        entry = schema.OperatorCodeT()
        entry.builtinCode = entry.deprecatedBuiltinCode = code
        model.operatorCodes.append(entry)
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def chain():
    """input 0 -> 1 -> 2 -> 3; 3 reads the input again, 1 is an output too, 4 and 5 constant."""
    tensors = [tensor((1, n)) for n in (4, 5, 6, 7)] + [tensor((3,), 1), tensor((3,), 1)]
    operators = [operator([0, 4], [1]), operator([1, 5, -1], [2]), operator([2, 0], [3])]
    return written(tensors, operators, [0], [1, 3], [bytes(12)])


def test_a_file_written_by_hand():
    live = read_graph(chain()).live_bytes()
    # Input and 1; input, 1 and 2; input, 1 (an output), 2 and 3.
    assert live.tolist() == [4 * (4 + 5), 4 * (4 + 5 + 6), 4 * (4 + 5 + 6 + 7)]
    assert tflite.activation_bytes(chain()) == 88
    # The two constants are one buffer.
    assert tflite.weight_bytes(chain()) == 12


def test_lifetimes_end_with_the_last_reader():
    tensors = [tensor((1, n)) for n in (10, 1, 1, 1, 50)]
    operators = [
        operator([0], [1]),
        operator([0, 1], [2]),
        operator([2], [3]),
        operator([1, 3], [4]),
    ]
    graph = read_graph(written(tensors, operators, [0], [4]))
    assert graph.lifetimes() == {0: (0, 1), 1: (0, 3), 2: (1, 2), 3: (2, 3), 4: (3, 3)}
    assert (graph.live_bytes() / 4).tolist() == [11, 12, 3, 52]


def test_what_nobody_reads_is_live_while_it_is_made():
    tensors = [tensor((1, n)) for n in (2, 30, 4, 1)]
    operators = [operator([0], [1]), operator([0], [2]), operator([2], [3])]
    graph = read_graph(written(tensors, operators, [0], [3]))
    assert (graph.live_bytes() / 4).tolist() == [32, 6, 5]


def test_an_operator_left_out_hands_its_input_on():
    graph = read_graph(chain()).without({1})
    assert [o.inputs for o in graph.operators] == [(0, 4), (1, 0)]
    # Input and 1; input, 1 and 3.
    assert graph.live_bytes().tolist() == [4 * 9, 4 * 16]
    assert read_graph(chain()).without({2}).outputs == (1, 2)
    assert graph.without(()) == graph


def by_hand():
    """A residual block whose sizes are easily counted."""
    inputs = keras.Input((8, 8, 2))
    a = layers.Conv2D(4, 3, padding="same", activation="relu", name="a")(inputs)
    b = layers.Conv2D(6, 1, activation="relu", name="b")(a)
    c = layers.Conv2D(4, 1, name="c")(b)
    pooled = layers.GlobalAveragePooling2D()(layers.Add()([a, c]))
    model = keras.Model(inputs, layers.Dense(3)(pooled))
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=w.shape) for w in model.weights])
    return tflite.to_tflite(model)


def test_a_converted_network_by_hand():
    data, pixels = by_hand(), 4 * 8 * 8
    assert read_graph(data).live_bytes().tolist() == [
        pixels * (2 + 4),  # the image and a
        pixels * (4 + 6),  # a and b
        pixels * (4 + 6 + 4),  # a, kept for the sum, b and c
        pixels * (4 + 4 + 4),  # a, c and the sum
        pixels * 4 + 4 * 4,  # the sum and its mean
        4 * 4 + 4 * 3,  # the mean and the output
    ]
    assert tflite.activation_bytes(data) == pixels * 14
    kernels = 9 * 2 * 4 + 4 * 6 + 6 * 4 + 4 * 3
    biases = 4 + 6 + 4 + 3
    axes = 2
    assert tflite.weight_bytes(data) == 4 * (kernels + biases + axes)


@pytest.mark.parametrize("name", ["fp32", "fp16"])
def test_the_slow_count_agrees(files, name):
    assert tflite.activation_bytes(files[name]) == naive_activation_bytes(files[name])
    assert tflite.weight_bytes(files[name]) == naive_weight_bytes(files[name])


def test_the_slow_count_agrees_on_files_written_by_hand():
    assert naive_activation_bytes(chain()) == 88
    assert naive_weight_bytes(chain()) == 12
    assert naive_activation_bytes(by_hand()) == 256 * 14


@pytest.mark.parametrize(
    ("tensors", "options", "message"),
    [
        (
            [tensor((1, 2)), tensor((1, 2))],
            {"graphs": 2},
            "Received: 2 graphs, as a loop or a branch",
        ),
        (
            [tensor((1, 2)), tensor((1, 2), signature=np.array([-1, 2], np.int32))],
            {},
            r"fixed shapes in this TFLite file. Received: tensor 't' of shape \(1, 2\)",
        ),
        (
            [tensor((1, 2)), tensor((1, 2), kind=schema.TensorType.STRING)],
            {},
            "plain numbers in .*tensor 't' of type STRING",
        ),
    ],
)
def test_files_whose_memory_is_not_fixed_are_refused(tensors, options, message):
    data = written(tensors, [operator([0], [1])], [0], [1], **options)
    with pytest.raises(ValueError, match=message):
        tflite.activation_bytes(data)


def test_state_is_refused():
    tensors = [tensor((1, 2)) for _ in range(3)]
    data = written(tensors, [operator([0, 1], [2])], [0], [2])
    with pytest.raises(ValueError, match="Received: 't', an operand of ADD, .* state variable"):
        tflite.activation_bytes(data)


@pytest.mark.parametrize("share", np.linspace(0, 0.98, 12))
def test_a_truncated_file_is_refused(files, share):
    data = files["fp32"][: int(len(files["fp32"]) * share)]
    with pytest.raises(ValueError, match="cut short or damaged|identifier 'TFL3'"):
        tflite.weight_bytes(data)
