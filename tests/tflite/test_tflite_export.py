"""Export: every file in the manifest is checked, whole, and made once."""

import hashlib
import importlib
import json

import keras
import numpy as np
import pytest

import keras_joslim as kj
from keras_joslim import tflite

# The package's attribute of that name is the function.
MODULE = importlib.import_module("keras_joslim.tflite.export")


class Log:
    """Collects what `on_progress` is told; stops the export after so many new files."""

    def __init__(self, stop_after=None):
        self.events = []
        self.stop_after = stop_after

    def __call__(self, done, total, entry, kept):
        self.events.append((done, total, entry.point, entry.format, kept))
        if len(self.new) == self.stop_after:
            raise KeyboardInterrupt

    @property
    def new(self):
        return [event[2:4] for event in self.events if not event[4]]


@pytest.fixture(scope="module")
def exported(tmp_path_factory, model, build_model, images):
    """A directory with two points in two formats; not to be changed."""
    directory = tmp_path_factory.mktemp("exported")
    path = directory / "models" / "p01.keras"
    path.parent.mkdir()
    build_model(seed=1).save(path)
    models = {"p00": model, "p01": path}
    metadata = {"p00": {"widths": np.array([4, 8], np.int32), "costs": {"macs": np.int64(7)}}}
    log = Log()
    manifest = tflite.export(models, directory, images=images, metadata=metadata, on_progress=log)
    return directory, models, manifest, log


@pytest.fixture
def export_one(tmp_path, model, images):
    """Exports `model` as fp32 to a directory of the test; keywords change the call."""

    def call(**changes):
        arguments = {
            "models": {"p00": model},
            "directory": tmp_path / "out",
            "formats": ("fp32",),
            "images": images,
        }
        return tflite.export(**(arguments | changes))

    return call


def test_manifest_tells_the_truth(exported, images):
    directory, _, manifest, _ = exported
    assert [entry.path for entry in manifest] == [
        "models/p00.fp16.tflite",
        "models/p00.fp32.tflite",
        "models/p01.fp16.tflite",
        "models/p01.fp32.tflite",
    ]
    for entry in manifest:
        data = (directory / entry.path).read_bytes()
        assert entry.sha256 == hashlib.sha256(data).hexdigest()
        assert entry.bytes == len(data)
        assert entry.arena == tflite.arena_bytes(data) >= tflite.activation_bytes(data)
        assert entry.peak_memory is None
        assert sum(entry.operators.values()) == len(tflite.operators(data))
        assert 0 < entry.difference["max_abs"] <= entry.difference["allowed"]
        assert entry.difference["images"] == len(images)
        assert [facts.name for facts in entry.inputs] == ["image"]
        assert set(entry.versions) == {"tensorflow", "keras", "ai_edge_litert"}
    manifest.check_files(directory)
    assert tflite.Manifest.load(directory) == manifest


def test_metadata_is_passed_through(exported):
    _, _, manifest, _ = exported
    assert manifest.find("p00", "fp16").metadata == {"widths": [4, 8], "costs": {"macs": 7}}
    assert manifest.find("p01", "fp32").metadata == {}


def test_points_are_told_apart(exported, images):
    directory, models, manifest, _ = exported
    outputs = [tflite.run(directory / f"models/{p}.fp32.tflite", images) for p in ("p00", "p01")]
    np.testing.assert_allclose(outputs[0], models["p00"](images), rtol=1e-4, atol=1e-5)
    assert np.abs(outputs[0] - outputs[1]).max() > 0.01
    assert manifest.find("p00", "fp32").source != manifest.find("p01", "fp32").source


def test_source_of_a_path_is_its_sha256(exported):
    _, models, manifest, _ = exported
    expected = hashlib.sha256(models["p01"].read_bytes()).hexdigest()
    assert manifest.find("p01", "fp16").source == expected


def test_progress_counts_every_file(exported):
    log = exported[3]
    assert [event[:2] for event in log.events] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert len(log.new) == 4


def test_second_export_makes_nothing(exported, images, monkeypatch):
    directory, models, manifest, _ = exported
    before = (directory / "manifest.json").read_bytes()
    monkeypatch.setattr(MODULE, "saved_model", None)
    log = Log()
    assert tflite.export(models, directory, images=images, on_progress=log) == manifest
    assert log.new == []
    assert len(log.events) == 4
    assert (directory / "manifest.json").read_bytes() == before


def test_interrupted_export_goes_on_where_it_stopped(export_one, tmp_path, build_model):
    models = {"p00": build_model(0), "p01": lambda: build_model(1)}
    with pytest.raises(KeyboardInterrupt):
        export_one(models=models, on_progress=Log(stop_after=1))
    found = sorted(path.name for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert found == ["manifest.json", "p00.fp32.tflite"]
    tflite.Manifest.load(tmp_path / "out").check_files(tmp_path / "out")
    log = Log()
    resumed = export_one(models=models, on_progress=log)
    assert log.new == [("p01", "fp32")]
    assert resumed == export_one(models=models, directory=tmp_path / "whole")


def test_changed_model_and_damaged_file_are_made_again(export_one, tmp_path, build_model):
    first = export_one()
    path = tmp_path / "out" / "models" / "p00.fp32.tflite"
    path.write_bytes(path.read_bytes()[:-1])
    log = Log()
    assert export_one(on_progress=log) == first
    assert log.new == [("p00", "fp32")]
    first.check_files(tmp_path / "out")

    second = export_one(models={"p00": build_model(9)}, on_progress=log)
    assert second.find("p00", "fp32").sha256 != first.find("p00", "fp32").sha256
    assert len(second) == 1


def test_tighter_tolerance_is_applied_to_old_files(export_one):
    export_one()
    impossible = {"fp32": tflite.Tolerance(0, 0)}
    with pytest.raises(tflite.DisagreementError, match="models/p00.fp32.tflite disagrees"):
        export_one(tolerances=impossible)


def test_other_points_and_formats_stay(exported, export_one, build_model):
    directory, _, manifest, _ = exported
    merged = export_one(directory=directory, models={"p02": build_model(2)})
    assert len(merged) == len(manifest) + 1
    assert all(merged.find(e.point, e.format) == e for e in manifest)


def test_new_metadata_reaches_kept_files(export_one, tmp_path):
    export_one()
    log = Log()
    export_one(metadata={"p00": {"validation": {"loss": 0.25}}}, on_progress=log)
    assert log.new == []
    assert tflite.Manifest.load(tmp_path / "out").find("p00", "fp32").metadata == {
        "validation": {"loss": 0.25}
    }


def test_disagreement_leaves_nothing_behind(export_one, tmp_path, monkeypatch, build_model):
    other = tflite.to_tflite(build_model(seed=4))
    monkeypatch.setattr(
        "keras_joslim.tflite.convert.SavedModel.to_tflite", lambda *arguments: other
    )
    with pytest.raises(tflite.DisagreementError, match="^models/p00.fp32.tflite disagrees"):
        export_one()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_one_saved_model_serves_all_formats(export_one, monkeypatch):
    saved_model = MODULE.saved_model
    calls = []

    def counted(*arguments):
        calls.append(arguments)
        return saved_model(*arguments)

    monkeypatch.setattr(MODULE, "saved_model", counted)
    assert len(export_one(formats=("fp32", "fp16"))) == 2
    assert len(calls) == 1


def test_input_shape_is_part_of_what_is_kept(export_one, build_model):
    model = build_model(shape=(None, None, 3))
    sizes = []
    for size in (16, 16, 8):
        log = Log()
        manifest = export_one(
            models={"p00": model},
            input_shape=(size, size, 3),
            images=np.full((1, size, size, 3), 0.5, np.float32),
            on_progress=log,
        )
        sizes.append((manifest.find("p00", "fp32").inputs[0].shape, len(log.new)))
    assert sizes == [((1, 16, 16, 3), 1), ((1, 16, 16, 3), 0), ((1, 8, 8, 3), 1)]


def test_foreign_manifest_is_not_overwritten(export_one, tmp_path):
    (tmp_path / "out").mkdir()
    foreign = tmp_path / "out" / "manifest.json"
    foreign.write_text(json.dumps({"name": "a web app"}))
    with pytest.raises(ValueError, match="something else. Export into another directory"):
        export_one()
    assert json.loads(foreign.read_text()) == {"name": "a web app"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": {}}, r"at least one model: \{'name': model\}, a keras.Model or .*models=\{\}"),
        ({"models": []}, "dict point name -> model. Received: models=list"),
        ({"models": "p.keras"}, r"write \{'name': model\}. Received: models=str"),
        ({"models": {"../p": None}}, r"become file names\). Received: \['../p'\]"),
        ({"models": {"p00": 3}}, "for point 'p00'. Received: int"),
        ({"models": {"p00": lambda: None}}, "for point 'p00'. Received: NoneType"),
        ({"models": {"p00": "gone.keras"}}, "point 'p00'. Received: 'gone.keras': no file"),
        ({"formats": ()}, r"at least one format. Received: formats=\(\)"),
        ({"formats": ("fp8",)}, "format='fp8'"),
        ({"formats": "fp8"}, r"out of \['fp32', 'fp16', .* Received: format='fp8'"),
        ({"tolerances": {"fp16": tflite.Tolerance(0, 1)}}, r"Received: also \['fp16'\]"),
        ({"metadata": {"p09": {}}}, r"metadata for points of the models. Received: also"),
        ({"metadata": {"p00": {"loss": np.nan}}}, "JSON holds in metadata of 'p00', loss.*nan"),
        ({"images": np.zeros((0, 16, 16, 3), np.float32)}, "at least one image"),
    ],
)
def test_bad_arguments(export_one, changes, message):
    with pytest.raises(ValueError, match=message):
        export_one(**changes)


def test_a_single_model_is_refused(export_one, model):
    with pytest.raises(ValueError, match=r"model: write \{'name': model\}. .*models=Functional"):
        export_one(models=model)


def test_one_format_may_be_given_as_its_name(export_one, model):
    assert [entry.format for entry in export_one(formats="fp32")] == ["fp32"]


def test_a_slimmable_model_is_refused(export_one, model, tmp_path):
    slim = kj.make_slimmable(model)
    slim.save(tmp_path / "slim.keras")
    for given in (slim, lambda: slim, tmp_path / "slim.keras"):
        with pytest.raises(ValueError, match="is slimmable, .*extract a sub-network first"):
            export_one(models={"p00": given})
    with pytest.raises(ValueError, match="Model 'slimmable_small' is slimmable"):
        tflite.to_tflite(slim)


def test_what_export_returns_can_be_profiled(export_one, tmp_path, monkeypatch):
    manifest = export_one(formats=("fp32", "fp16"))
    timed = []

    def measured(spec, timeout):
        timed.extend(spec["paths"])
        return [(np.array([1.0]), 0)]

    monkeypatch.setattr("keras_joslim.tflite.profiling.host._measured", measured)
    for given in (manifest, tflite.Manifest.load(tmp_path / "out")):
        latencies = tflite.profile(given, processes=1)
        assert list(latencies) == ["p00.fp16", "p00.fp32"]
        assert sorted(timed) == [str(tmp_path / "out" / entry.path) for entry in manifest]
        timed.clear()


def test_foreign_keras_file(export_one, tmp_path):
    path = tmp_path / "p00.keras"
    path.write_bytes(b"not a zip archive")
    with pytest.raises(ValueError, match=r"cannot load the model of point 'p00' from .*p00.keras"):
        export_one(models={"p00": path})


def test_inputs_in_a_list_are_those_of_the_model_in_its_order(tmp_path):
    """Files sort their inputs by name, models do not."""
    zed, alpha = keras.Input((4,), name="zed"), keras.Input((4,), name="alpha")
    model = keras.Model([zed, alpha], keras.layers.Dense(2)(zed - 3.0 * alpha))
    rng = np.random.default_rng(0)
    images = [rng.normal(size=(3, 4)).astype("float32") for _ in range(2)]
    manifest = tflite.export({"p00": model}, tmp_path, formats="fp32", images=images)
    assert manifest.files[0].difference["max_abs"] < 1e-5
    data = (tmp_path / manifest.files[0].path).read_bytes()
    with pytest.raises(ValueError, match="a dict with the keys .*Received: a list of 2"):
        tflite.run(data, images)


def test_a_file_with_a_loop_is_exported_and_its_arena_left_open(tmp_path):
    inputs = keras.Input((5, 3))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.LSTM(4)(inputs)))
    images = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
    manifest = tflite.export({"p00": model}, tmp_path, formats="fp32", images=images)
    assert manifest.files[0].arena is None
    data = (tmp_path / manifest.files[0].path).read_bytes()
    with pytest.raises(ValueError, match="an LSTM or GRU, unless `unroll=True`"):
        tflite.arena_bytes(data)


@pytest.mark.slow
def test_processes_side_by_side_make_the_same(exported, images, tmp_path):
    _, models, expected, _ = exported
    log = Log()
    metadata = {"p00": {"widths": [4, 8], "costs": {"macs": 7}}}
    out = tmp_path / "out"
    manifest = tflite.export(models, out, images=images, metadata=metadata, jobs=2, on_progress=log)
    assert manifest == expected
    assert all(entry.is_intact(out) for entry in manifest)
    assert sorted(log.new) == [(e.point, e.format) for e in expected]
    assert [event[0] for event in log.events] == [1, 2, 3, 4]


def test_what_a_process_raises_arrives_whole():
    """An error that cannot be pickled would take the pool down with it."""
    import pickle

    for error in (
        tflite.FormatError("no kernels", "int8", ("ODD",)),
        tflite.DisagreementError("apart"),
    ):
        same = pickle.loads(pickle.dumps(error))
        assert (type(same), str(same)) == (type(error), str(error))
        assert vars(same) == vars(error)


def test_jobs_fit_cores_and_memory(monkeypatch):
    from keras_joslim.tflite import conversion_jobs

    monkeypatch.setattr(conversion_jobs.os, "sched_getaffinity", lambda _: range(8), raising=False)
    for available, count, jobs in (
        (16e9, 20, 8),
        (4e9, 20, 2),
        (1e9, 20, 1),
        (16e9, 3, 3),
        (0, 5, 1),
    ):
        monkeypatch.setattr(conversion_jobs, "_available_bytes", lambda a=available: int(a))
        assert conversion_jobs.usable_jobs(count) == jobs
    monkeypatch.setattr(conversion_jobs, "_available_bytes", lambda: 5_100_000_000)
    assert [conversion_jobs.usable_jobs(9, training) for training in (False, True)] == [3, 2]
