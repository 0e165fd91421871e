"""The published schema: manifests really written fit it, and what `Manifest` refuses does not."""

import copy
import dataclasses
import json
import pathlib

import jsonschema
import keras
import numpy as np
import pytest

from keras_joslim import tflite
from keras_joslim.datasets import Preprocessing
from keras_joslim.evaluation import Judge
from tests.tflite.manifest_entries import host_latency

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs" / "manifest.md"
RGB = Preprocessing("Bytes become -1 to 1.", (0, 255), (2 / 255,) * 3, (-1.0,) * 3)
PHONE = tflite.DeviceLatency(
    **dict.fromkeys(("mean", "first", "init"), 2.5),
    **dict.fromkeys(("min", "median", "p95", "std", "runs", "drift", "cores"), None),
    **dict.fromkeys(("memory", "peak_memory", "thermal_before", "thermal_after"), None),
    round_values=(2.0, 3.0),
    delegate="gpu",
    delegations=(),
    threads=4,
    route="binary",
    tool="e" * 64,
    warnings=("GPU took none",),
)


@pytest.fixture(scope="module")
def validator():
    return jsonschema.Draft202012Validator(tflite.manifest_schema())


@pytest.fixture(scope="module")
def written(build_model, images, tmp_path_factory):
    """The JSON of an export in three formats, judged, profiled on two devices."""
    model = build_model()
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    judge = Judge(model, (images, np.zeros(len(images), np.int32)))
    directory = tmp_path_factory.mktemp("export")
    manifest = tflite.export(
        {"p00": model},
        directory,
        ("fp32", "fp16", "int8"),
        images=images,
        representative=images,
        judge=judge,
        metadata={"p00": {"widths": [8], "costs": {"macs": 1}}},
        labels=["a", "b", "c", "d", "e"],
        preprocessing=RGB,
    )
    assert (manifest.labels, manifest.preprocessing) == (tuple("abcde"), RGB)
    manifest = manifest.with_latency("host", {"p00.fp32": host_latency(2.0)})
    manifest = manifest.with_latency("pixel7", {"p00.fp32": PHONE}).with_peaks(
        {"p00.fp32": host_latency(2.0)}
    )
    tflite.measure_test(manifest, judge).save(directory / "manifest.json")
    # Exported again without a word on labels: they stay, as do the files.
    kept = tflite.export({"p00": model}, directory, "fp32", images=images)
    assert (kept.labels, kept.preprocessing) == (tuple("abcde"), RGB)
    return json.loads((directory / "manifest.json").read_text())


def test_the_schema_is_one(validator):
    jsonschema.Draft202012Validator.check_schema(validator.schema)
    assert validator.schema["$schema"].endswith("2020-12/schema")


def test_a_written_manifest_fits(validator, written, tmp_path):
    validator.validate(written)
    latency = written["files"][1]["latency"]
    assert latency["pixel7"]["milliseconds"] == 2.5
    assert latency["pixel7"]["statistic"] == "mean"
    assert latency["pixel7"]["warnings"] == ["GPU took none"]
    assert [entry["inputs"][0]["dtype"] for entry in written["files"]] == ["float32"] * 2 + ["int8"]
    tflite.Manifest().save(tmp_path / "manifest.json")
    validator.validate(json.loads((tmp_path / "manifest.json").read_text()))


def test_labels_alone_are_entered_in_a_manifest_that_is_there(build_model, images, tmp_path):
    model = build_model()
    tflite.export({"p00": model}, tmp_path, "fp32", images=images)
    tflite.export({"p00": model}, tmp_path, "fp32", images=images, labels=list("abcde"))
    assert tflite.Manifest.load(tmp_path).labels == tuple("abcde")


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.update(schema=3),
        lambda value: value.update(kind="another"),
        lambda value: value.update(labels=[]),
        lambda value: value.update(labels="abcde"),
        lambda value: value.update(surprise=1),
        lambda value: value["preprocessing"].update(scale=[0]),
        lambda value: value["preprocessing"].pop("text"),
        lambda value: value["files"][0].pop("weights"),
        lambda value: value["files"][0].update(sha256="feed"),
        lambda value: value["files"][0].update(bytes="many"),
        lambda value: value["files"][0].update(path="/etc/passwd"),
        lambda value: value["files"][0].update(path="models/../../x"),
        lambda value: value["files"][0].update(path="models\\x"),
        lambda value: value["files"][2]["inputs"][0].update(scale="fine"),
        lambda value: value["files"][1]["latency"]["host"].update(milliseconds=0),
        lambda value: value["files"][1]["latency"]["host"].update(statistic="best"),
        lambda value: value["files"][1]["latency"].update(host=2.0),
        lambda value: value["files"][1]["latency"].update({"": None}),
    ],
)
def test_schema_and_manifest_refuse_the_same(validator, written, change, tmp_path):
    value = copy.deepcopy(written)
    change(value)
    assert not validator.is_valid(value)
    (tmp_path / "manifest.json").write_text(json.dumps(value))
    with pytest.raises(ValueError, match=r"Expected|Received"):
        tflite.Manifest.load(tmp_path)


def objects(node, name="manifest"):
    """(name, object) of each object in the schema that has properties."""
    if isinstance(node, dict):
        if "properties" in node and isinstance(node["properties"], dict):
            yield name, node
        for key, item in node.items():
            yield from objects(item, key)
    elif isinstance(node, list):
        for item in node:
            yield from objects(item, name)


def test_every_field_is_described_and_documented(validator):
    text = DOCS.read_text(encoding="utf-8")
    found = dict(objects(validator.schema))
    assert {"manifest", "file", "tensor", "latency", "measured", "preprocessing"} <= set(found)
    for name, node in found.items():
        for field, schema in node["properties"].items():
            assert schema.get("description"), f"{name}.{field}"
            assert f"| `{field}` |" in text, f"{name}.{field} is not in docs/manifest.md"


def test_the_schema_has_the_fields_of_the_entries(validator):
    names = {field.name for field in dataclasses.fields(tflite.ExportedFile)}
    assert set(validator.schema["$defs"]["file"]["properties"]) == names
