"""What cannot be made slimmable is refused in one clear line: what, where, how to mend."""

import pathlib

import keras
import numpy as np
import pytest

import keras_joslim as kj
from tests.graph.networks import flatten, plain, residual

layers = keras.layers


class Subclassed(keras.Model):
    def call(self, inputs):
        return inputs


def channels_first():
    inputs = keras.Input((3, 8, 8))
    x = layers.Conv2D(4, 3, data_format="channels_first", name="first_conv")(inputs)
    return keras.Model(inputs, layers.Flatten(data_format="channels_first")(x))


def head_only():
    inputs = keras.Input((8,))
    return keras.Model(inputs, layers.Dense(3, name="head")(inputs), name="linear")


def with_norm(**arguments):
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, name="a")(inputs)
    x = layers.BatchNormalization(**arguments, name="its_norm")(x)
    return keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: Subclassed(name="mine"), r"'mine' \(Subclassed\) is subclassed.*functional API"),
        (lambda: keras.Sequential(name="mine"), r"'mine' is not built.*keras.Input\(shape="),
        (
            lambda: "model.keras",
            r"Keras 3 model.*'model.keras' of type .*str. Load it first.*load_model",
        ),
        (lambda: pathlib.Path("m.keras"), r"Load it first: keras.saving.load_model\(path\)"),
        (lambda: kj.make_slimmable(plain().model), "Model 'slimmable_.*' is slimmable already"),
        (lambda: 3, r"Expected a Keras 3 model.*model=3 of type builtins.int$"),
        (channels_first, r"'first_conv' with data_format='channels_first'.*channels_last"),
        (
            head_only,
            r"'linear' can be narrowed with [^.]*0.25[^.]*\. What (.|\n)*head: is an output",
        ),
        (lambda: with_norm(axis=1), r"'its_norm' must normalise the last axis.*axis=1"),
        (lambda: with_norm(renorm=True), r"'its_norm' must.*without renorm.*renorm=True"),
    ],
)
def test_models(model, message):
    with pytest.raises(ValueError, match=message):
        kj.make_slimmable(model())


def test_quantized_and_lora_weights():
    model = flatten().model
    model.get_layer("d").enable_lora(2)
    with pytest.raises(ValueError, match="'d' has LoRA or quantized weights.*Merge them"):
        kj.make_slimmable(model)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_width": 0}, "above 0 and below 1. Received: min_width=0$"),
        ({"min_width": "0.5"}, "Received: min_width='0.5'"),
        ({"min_width": 1.0}, "above 0 and below 1. Received: min_width=1.0"),
        ({"min_width": 1.01}, "min_width=1.01"),
        ({"min_width": -0.5}, "min_width=-0.5"),
        ({"min_width": float("nan")}, "min_width=nan"),
        ({"min_width": "half"}, "min_width='half'"),
        ({"divisor": 0}, "`divisor` must be a whole number from 1. Received: divisor=0"),
        ({"divisor": 1.5}, "divisor=1.5"),
        ({"choices": 0}, "`choices` must be a whole number from 1, or None.*choices=0"),
        ({"choices": 2.5}, "choices=2.5"),
        ({"divisor": 64}, "Nothing in model .* can be narrowed with min_width=0.25, divisor=64"),
        ({"choices": 1}, "Nothing in model .* can be narrowed with .*choices=1"),
        (
            {"min_width": 0.99},
            r"min_width=0.99(.|\n)*No group has two legal widths: lower divisor or min_width, or "
            r"raise choices. Groups: a \(8 channels\), b \(6 channels\)\. What stays",
        ),
        ({"skip": "*"}, r"Nothing(.|\n)*a: is skipped on request"),
    ],
)
def test_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        kj.make_slimmable(plain().model, **arguments)


@pytest.mark.parametrize(
    ("skip", "unmatched"),
    [
        (("inner", "nothing"), ["nothing"]),
        (("inner", "out", "*_morn", "stem*"), ["out", "*_morn"]),
        ("typo", ["typo"]),
        # Names of inputs and of the model are not names of its layers.
        (("functional*",), ["functional*"]),
    ],
)
def test_each_skip_pattern_must_match(skip, unmatched):
    model = residual().model
    with pytest.raises(ValueError, match="match no layer of model") as caught:
        kj.make_slimmable(model, skip=skip)
    assert str(unmatched) in str(caught.value)
    assert "model.summary()" in str(caught.value)


@pytest.mark.parametrize(
    ("skip", "left", "reported"),
    [
        ("inner", [{"stem", "outer", "outer_norm", "sum"}], {"inner"}),
        (("in*_norm",), [{"stem", "outer", "outer_norm", "sum"}], {"inner_norm"}),
        (("stem",), [{"inner", "inner_norm"}], {"stem"}),
        (("outer*",), [{"inner", "inner_norm"}], {"outer", "outer_norm"}),
    ],
)
def test_skipped_layers_stay_at_full_width(skip, left, reported):
    space = kj.make_slimmable(residual().model, skip=skip).width_space
    assert [set(group.members) for group in space.groups] == left
    reasons = {name: reason for name, reason in space.frozen if "request" in reason}
    assert set(reasons) <= reported
    assert reasons


@pytest.mark.parametrize(
    ("widths", "message"),
    [
        ([8], r"shape \(2,\) or \(n, 2\).*shape=\(1,\)"),
        ([8, 6, 4], r"shape=\(3,\)"),
        ([0, 6], r"group 'a' \(index 0\) must be one of .*Received: width=0"),
        ([8, 7], r"group 'b' \(index 1\).*width=7"),
        ([8, 1], "width=1"),
        ([0.5, 0.5], "whole numbers of channels.*from_multipliers"),
        ([[8, 6]], r"one width vector. Received: shape=\(1, 2\)"),
    ],
)
def test_extract_refuses_widths_that_are_not_legal(widths, message):
    slim = kj.make_slimmable(plain().model)
    with pytest.raises(ValueError, match=message):
        kj.extract(slim, widths)


def test_extract_takes_a_slimmable_model():
    with pytest.raises(ValueError, match="Expected a SlimmableModel from `make_slimmable`"):
        kj.extract(plain().model, [8, 6])


def test_xla_is_refused_with_the_reason():
    slim = kj.make_slimmable(plain().model)
    with pytest.raises(ValueError, match="XLA.*again for every new width.*jit_compile=True"):
        slim.compile("sgd", "mse", jit_compile=True)
    slim.compile("sgd", "mse", jit_compile="auto")
    assert not slim.jit_compile


def test_keras_does_not_choose_xla_for_a_model_with_slimmable_layers():
    network = kj.make_slimmable(plain().model).network
    assert any(not layer.supports_jit for layer in network.layers)
    network.compile("sgd", "mse")
    assert not network.jit_compile


def test_an_operation_that_cannot_be_rebuilt_is_named():
    class NoConfig(layers.Layer):
        def __init__(self, function, **kwargs):
            super().__init__(**kwargs)
            self.function = function

        def call(self, inputs):
            return self.function(inputs)

    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, name="a")(inputs)
    x = layers.Conv2D(4, 3, name="b")(NoConfig(lambda t: t, name="opaque")(x))
    model = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    with pytest.raises(ValueError, match=r"'opaque' \(NoConfig\) cannot be rebuilt.*get_config"):
        kj.make_slimmable(model)


def test_options_reach_the_width_space():
    space = kj.make_slimmable(residual().model, min_width=0.5, divisor=2).width_space
    legal = {group.name: group.legal for group in space.groups}
    assert legal == {"stem": (4, 6, 8), "inner": (4, 6)}
    space = kj.make_slimmable(residual().model, min_width=0.25, choices=3).width_space
    assert [len(group.legal) for group in space.groups] == [3, 3]
    assert space.smallest.tolist() == [2, 2]


def test_summary_is_a_readable_report():
    lines = []
    kj.make_slimmable(residual().model).width_space.summary(print_fn=lines.append)
    text = "\n".join(lines)
    assert "2 channel groups, 2 searchable" in text
    assert "members: stem -> outer -> outer_norm -> sum" in text
    assert "head: is an output of the model, which is never slimmed" in text


def test_of_many_groups_without_a_choice_some_are_named():
    inputs = x = keras.Input((4,))
    for i in range(10):
        x = layers.Dense(4, name=f"d{i}")(x)
    model = keras.Model(inputs, layers.Dense(2, name="head")(x))
    with pytest.raises(ValueError, match=r"d7 \(4 channels\), and 2 more\. What stays"):
        kj.make_slimmable(model, divisor=64)


def test_a_fresh_model_has_the_same_width_space():
    def spaces():
        return kj.make_slimmable(residual().model).width_space

    assert spaces() == spaces()


def test_saved_and_loaded_originals_have_the_same_width_space(tmp_path):
    model = residual().model
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert kj.make_slimmable(loaded).width_space == kj.make_slimmable(model).width_space
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    np.testing.assert_array_equal(kj.make_slimmable(loaded)(x), model(x))
