"""Latency samples are measured by the code that points are measured by."""

import pytest

from keras_joslim.latency.meters import find_meter
from keras_joslim.tflite.profiling import host_tool
from tests.tflite.tool_stand_ins import needs_x86, runs, write_model, write_tool


def meter_of(folder, device="host", tool=None, delegate="xnnpack", **phone):
    given = {"serial": None, "adb": None, "big_cores": True} | phone
    return find_meter(folder, device, 1, delegate, 2, tool, **given)


@needs_x86
def test_by_the_tool_on_this_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("PHONE", str(tmp_path))
    monkeypatch.setattr(host_tool, "load_average", lambda: 0.0)
    files = {name: write_model(tmp_path / name, n) for name, n in (("a", 2000), ("b", 3000))}
    meter, device, settings = meter_of(tmp_path / "kept", tool=write_tool(tmp_path))
    assert meter(files) == {"a": 2.0, "b": 3.0}
    # A round of both, the sentinel before and after it, and no run for the memory.
    assert len((tmp_path / "runs").read_text().splitlines()) == 4
    assert not list((tmp_path / "kept").glob("*"))
    assert device["name"] == "host-tool"
    assert (settings["processes"], settings["delegate"]) == (2, "xnnpack")
    # A second batch is measured anew, not found in a journal.
    assert meter(files) == {"a": 2.0, "b": 3.0}
    assert len((tmp_path / "runs").read_text().splitlines()) == 8


@needs_x86
def test_on_a_phone(bench, tmp_path):
    phone = bench.phone()
    meter, device, _ = meter_of(
        tmp_path / "kept", "android", bench.tool, serial=phone.serial, adb=bench.adb_binary
    )
    assert meter(bench.files) == {"a": 2.0, "b": 3.0}
    assert len(runs(phone)) == 4
    assert device["model"] == "Pixel 7"
    bench.assert_clean()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": "toaster"}, "A device is 'host' or 'android'. Received: device='toaster'"),
        ({"device": "android"}, "benchmark_binary=None"),
        ({"delegate": "gpu"}, "xnnpack or none; .* Received: delegate='gpu'"),
    ],
)
def test_settings_that_make_no_sense(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        meter_of(tmp_path, **arguments)
