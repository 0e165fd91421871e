"""Files written for any widths: operators and sizes are those of converted sub-networks."""

import keras
import numpy as np
import pytest

import keras_joslim as kj
from keras_joslim import tflite
from keras_joslim.latency.network import FileNetwork
from keras_joslim.tflite.liveness import read_graph
from tests.latency.networks import concatenated, padded, residual

NETWORKS = {"residual": residual, "concatenated": concatenated, "padded": padded}


@pytest.fixture(scope="module")
def made():
    """The network of a name and a format, made once."""
    known = {}

    def make(name, file_format="fp32"):
        if (name, file_format) not in known:
            slim = kj.make_slimmable(NETWORKS[name](), min_width=0.25)
            known[name, file_format] = slim, FileNetwork(slim, file_format)
        return known[name, file_format]

    return make


def facts(data):
    """Each operator with types and shapes of what it reads and writes."""
    graph = read_graph(data)

    def of(index):
        return index if index is None else (graph.tensors[index].dtype, graph.tensors[index].shape)

    return [
        (operator.name, [of(i) for i in operator.inputs], [of(i) for i in operator.outputs])
        for operator in graph.operators
    ]


@pytest.mark.parametrize(
    ("name", "file_format"),
    [
        ("residual", "fp32"),
        ("concatenated", "fp32"),
        ("padded", "fp32"),
        ("residual", "int8"),
        ("residual", "fp16"),
        ("residual", "dynamic"),
    ],
)
def test_it_is_the_file_of_the_extracted_network(made, name, file_format):
    slim, network = made(name, file_format)
    rng = np.random.default_rng(7)
    for widths in slim.width_space.sample(rng, 2):
        model = kj.extract(slim, widths)
        for weight in model.trainable_variables:
            weight.assign(rng.uniform(0.1, 0.2, weight.shape))
        images = rng.random((4, 8, 8, 3)).astype(np.float32)
        needed = images if file_format == "int8" else None
        converted = tflite.to_tflite(model, file_format, representative=needed)
        written = network.file(widths)
        assert facts(written) == facts(converted)
        inputs = tflite.run(written, images[:1] if file_format != "int8" else _as_int8(images[:1]))
        assert all(np.isfinite(np.asarray(v, float)).all() for v in keras.tree.flatten(inputs))


def _as_int8(images):
    return (images * 100).astype(np.int8)


def test_the_same_widths_give_the_same_bytes(made):
    slim, network = made("residual")
    smallest = slim.width_space.smallest
    assert network.file(smallest) == network.file(smallest.copy())
    assert len(network.file(smallest)) < len(network.file(slim.width_space.full))


def test_a_pad_that_adds_nothing_is_not_in_the_file(made):
    slim, network = made("padded")
    count = [
        sum(name.startswith("PAD") for name, *_ in facts(network.file(widths)))
        for widths in slim.width_space.sample(np.random.default_rng(0), 60)
    ]
    assert len(set(count)) > 1


def test_terms_are_the_operators_that_widths_change(made):
    slim, network = made("residual")
    names = [term.signature.partition(" ")[0] for term in network.terms]
    assert sorted(names) == sorted(
        ["CONV_2D"] * 3 + ["DEPTHWISE_CONV_2D", "ADD", "MEAN", "FULLY_CONNECTED"]
    )
    by_name = {term.signature.partition(" ")[0]: term for term in network.terms}
    stem, wide = (slim.width_space.names.index(name) for name in ("stem", "expand"))
    assert [_groups(axis) for axis in by_name["DEPTHWISE_CONV_2D"].axes] == [[wide]]
    pairs = [[_groups(a) for a in t.axes] for t in network.terms if t.signature[:4] == "CONV"]
    assert [[stem]] in pairs
    assert [[stem], [wide]] in pairs
    assert [[wide], [stem]] in pairs
    # The two 1x1 convolutions differ in their activation, so in their signature.
    assert len({term.signature for term in network.terms}) == 7


def test_what_a_concatenation_writes_is_one_axis(made):
    _, network = made("concatenated")
    (term,) = (t for t in network.terms if t.signature.startswith("CONCATENATION"))
    assert [_groups(axis) for axis in term.axes] == [[0, 1]]


def _groups(function):
    return np.flatnonzero(function[:-1]).tolist()


def test_an_input_of_unknown_size_is_refused():
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(8, 3, name="stem")(inputs)
    outputs = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x))
    slim = kj.make_slimmable(keras.Model(inputs, outputs), min_width=0.5)
    with pytest.raises(ValueError, match="no static shape.* latency of the network are unknown"):
        FileNetwork(slim)
