"""A declared preprocessing: what it computes, what it refuses, that it comes back from JSON."""

import json

import pytest

from keras_joslim.datasets import Preprocessing

FIELDS = {"text": "Halve, less one.", "raw_range": (0, 4), "scale": (0.5, 2), "offset": (-1, 0)}


def test_each_channel_has_its_own_scale_and_offset():
    assert Preprocessing(**FIELDS)([4, 3]) == [1.0, 6.0]
    with pytest.raises(ValueError, match="zip"):
        Preprocessing(**FIELDS)([4])


def test_it_comes_back_from_json():
    one = Preprocessing(**FIELDS)
    value = json.loads(json.dumps(one.to_dict()))
    assert value == {key: list(v) if isinstance(v, tuple) else v for key, v in FIELDS.items()}
    assert Preprocessing.from_dict(value) == one


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": " "}, "a sentence. Received: text=' '"),
        ({"raw_range": (4, 0)}, r"lowest and the highest .*raw_range=\(4.0, 0.0\)"),
        ({"raw_range": (0, 1, 2)}, "lowest and the highest"),
        ({"scale": (0.5,)}, r"one scale and one offset .*scale=\(0.5,\)"),
        ({"scale": (), "offset": ()}, "one scale and one offset"),
        ({"scale": (0.5, 0)}, r"scale of 0 .*scale=\(0.5, 0.0\)"),
        ({"offset": (float("nan"), 0)}, r"finite numbers. Received: offset=\(nan, 0\)"),
        ({"offset": "ab"}, "finite numbers. Received: offset='ab'"),
        ({"scale": 2.0}, "finite numbers. Received: scale=2.0"),
    ],
)
def test_what_makes_no_sense_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Preprocessing(**{**FIELDS, **change})


@pytest.mark.parametrize("value", [{}, [], {**FIELDS, "mean": 0}])
def test_json_of_something_else_is_refused(value):
    with pytest.raises(ValueError, match=r"of the fields \['offset', 'raw_range', 'scale',"):
        Preprocessing.from_dict(value)
