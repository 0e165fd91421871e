"""Host profile: figures come from fresh processes, and a failed process never becomes a figure."""

import json
import subprocess
import sys

import numpy as np
import pytest

from keras_joslim import tflite
from keras_joslim.tflite.profiling import host

QUICK = {"processes": 2, "runs": 10, "min_seconds": 0.0}


def stand_in(tmp_path, monkeypatch, program):
    """Puts a program in the place of the measuring script."""
    child = tmp_path / "child.py"
    child.write_text(program)
    monkeypatch.setattr(host, "_CHILD", child)


def result(times_ns, **changes):
    """A program that prints a result."""
    value = {"keras_joslim_profile": 1, "times_ns": times_ns, "peak_memory": 4096} | changes
    return f"print({json.dumps(value)!r})"


def test_real_file(path):
    calls = []
    measured = tflite.profile(
        {"small": path}, **QUICK, on_progress=lambda *arguments: calls.append(arguments)
    )
    latency = measured["small"]
    assert 0 < latency.min <= latency.median <= latency.p95
    assert latency.min <= min(latency.process_medians)
    assert latency.runs >= 20
    assert (latency.processes, len(latency.process_medians)) == (2, 2)
    assert latency.peak_memory is None or latency.peak_memory >= 0
    assert calls == [(1, 2, "small"), (2, 2, "small")]
    assert json.loads(json.dumps(latency.to_dict()))["median"] == latency.median


def test_threads_and_delegate_are_passed_on(path, monkeypatch):
    specs = []

    def measured(spec, timeout):
        specs.append(spec)
        return [(np.array([1.0]), 0)]

    monkeypatch.setattr(host, "_measured", measured)
    latency = tflite.profile([path], processes=1, threads=3, xnnpack=False)[str(path)]
    assert (specs[0]["threads"], specs[0]["xnnpack"]) == (3, False)
    assert (latency.threads, latency.xnnpack) == (3, False)


def test_without_xnnpack_the_file_still_runs(path):
    assert tflite.profile([path], processes=1, runs=3, min_seconds=0, xnnpack=False)


def test_statistics_are_those_of_all_runs(path, tmp_path, monkeypatch):
    stand_in(tmp_path, monkeypatch, result([3_000_000, 1_000_000, 2_000_000, 10_000_000]))
    latency = tflite.profile([path], processes=3)[str(path)]
    assert (latency.min, latency.median, latency.runs) == (1.0, 2.5, 12)
    assert latency.p95 == pytest.approx(10.0)
    assert latency.process_medians == (2.5, 2.5, 2.5)
    assert latency.peak_memory == 4096


@pytest.mark.parametrize(
    ("peak", "warning", "end"),
    [
        (2_100_000, "", ", peak 2.1 MB)"),
        (None, "", ")"),
        (None, "busy", ", doubtful: see .warning)"),
    ],
)
def test_repr_is_short(peak, warning, end):
    latency = tflite.Latency(0.0413, 0.0428, 0.05, peak, 50, 1, (0.04,), 1, True, 0.1, warning)
    assert repr(latency) == f"Latency(min=0.041 ms, median=0.043 ms, p95=0.050 ms{end}"


def test_files_are_interleaved_in_random_order(path, tmp_path, monkeypatch):
    stand_in(tmp_path, monkeypatch, result([1]))
    files = {f"p{index}": path for index in range(4)}

    def order(seed):
        names = []
        measured = tflite.profile(
            files, processes=3, seed=seed, on_progress=lambda done, total, name: names.append(name)
        )
        assert list(measured) == list(files)
        return [names[start : start + 4] for start in (0, 4, 8)]

    rounds = order(seed=0)
    assert all(sorted(names) == list(files) for names in rounds)
    assert len({tuple(names) for names in rounds}) > 1
    assert rounds == order(seed=0)
    assert rounds != order(seed=1)


def test_one_process_may_time_several_files(path, monkeypatch):
    processes = []

    def counted(spec, timeout):
        results = measured(spec, timeout)
        processes.append((spec["paths"], timeout))
        # What a file before gave back would count as the next one's: it can be below zero.
        assert [peak is None for _, peak in results] == len(results) * [len(results) > 1]
        return results

    measured = host._measured
    monkeypatch.setattr(host, "_measured", counted)
    files = {f"p{index}": path for index in range(4)}
    latencies = tflite.profile(files, **QUICK, files_per_process=3, timeout=7)
    assert [(len(paths), timeout) for paths, timeout in processes] == 2 * [(3, 21), (1, 7)]
    assert all(latency.processes == 2 and latency.runs >= 20 for latency in latencies.values())
    assert all(latency.peak_memory is None for latency in latencies.values())


def test_a_process_that_ends_after_some_of_its_files_is_an_error(path, tmp_path, monkeypatch):
    stand_in(tmp_path, monkeypatch, result([1]))
    with pytest.raises(tflite.ProfileError, match="printed 1 results for 2 files"):
        tflite.profile({"a": path, "b": path}, processes=1, files_per_process=2)


def test_measuring_process_is_light(path):
    spec = {
        "paths": [str(path)],
        "threads": 1,
        "xnnpack": True,
        "runs": 2,
        "min_seconds": 0,
        "warmup": 1,
        "warmup_seconds": 0,
        "seed": 0,
    }
    program = (
        "import runpy, sys\n"
        f"sys.argv = ['profile_child.py', {json.dumps(spec)!r}]\n"
        f"runpy.run_path({str(host._CHILD)!r}, run_name='__main__')\n"
        "heavy = {'tensorflow', 'keras', 'keras_joslim', 'tflite'}\n"
        "sys.stderr.write(str(sorted(heavy & {name.split('.')[0] for name in sys.modules})))\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True
    )
    assert len(json.loads(done.stdout)["times_ns"]) == 2
    assert done.stderr.endswith("[]")


def test_what_native_code_prints_does_not_spoil_the_result(path, tmp_path, monkeypatch):
    # A module of that name in the script's folder would be found first without -P.
    (tmp_path / "json.py").write_text("raise SystemExit('shadowed')")
    source = host._CHILD.read_text(encoding="utf-8")
    source = source.replace(
        "        measured = ", "        os.write(1, b'garbage')\n        measured = "
    )
    stand_in(tmp_path, monkeypatch, source)
    assert tflite.profile([path], processes=1, runs=2, min_seconds=0)[str(path)].min > 0


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("raise SystemExit('out of luck')", r"died \(exit code 1\).*It wrote: out of luck"),
        ("import os\nos.kill(os.getpid(), 9)", r"died \(signal 9\).*It wrote no error"),
        ("print('Inference took 3 ms')", r"printed no result .*but b'Inference took 3 ms"),
        ("", r"printed no result .*but b''"),
        (result([1]) + "\nprint('more')", "printed no result"),
        ("print('[]')", r"printed no result \(TypeError"),
        (result([1], keras_joslim_profile=2), "of another version"),
        (result([[1]]), "of another form"),
        (result([1], peak_memory=-1), "of another form"),
        (result([1], peak_memory="much"), "of another form"),
        (result(["fast"]), "printed no result"),
        (result([1, 0]), r"impossible latency \(0 ms\)"),
        (result([1_000_000, -2_000_000]), r"impossible latency \(-2 ms\)"),
        (result([]), r"impossible latency \(no runs\)"),
        (result([1]).replace("[1]", "[NaN]"), r"impossible latency \(nan ms\)"),
        (result([1]).replace("[1]", "[Infinity]"), r"impossible latency \(inf ms\)"),
    ],
)
def test_failed_process_is_an_error_that_names_the_file(
    path, tmp_path, monkeypatch, program, message
):
    stand_in(tmp_path, monkeypatch, program)
    with pytest.raises(tflite.ProfileError, match=message) as caught:
        tflite.profile([path], processes=1)
    assert str(path) in str(caught.value)


def test_only_the_end_of_a_long_error_is_quoted(path, tmp_path, monkeypatch):
    stand_in(tmp_path, monkeypatch, "raise SystemExit('x' * 100_000 + ' at last')")
    with pytest.raises(tflite.ProfileError, match="at last$") as caught:
        tflite.profile([path], processes=1)
    assert len(str(caught.value)) < 3000


def test_hanging_process_is_stopped(path, tmp_path, monkeypatch):
    program = "import sys, time\nprint('loading', file=sys.stderr, flush=True)\ntime.sleep(600)"
    stand_in(tmp_path, monkeypatch, program)
    with pytest.raises(tflite.ProfileTimeoutError, match=r"took more than 1 s .*longer timeout="):
        tflite.profile([path], processes=1, timeout=1)


def test_damaged_file_is_an_error(path):
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(tflite.ProfileError, match=r"(?s)died .*It wrote: .*Error"):
        tflite.profile([path], **QUICK)


@pytest.mark.parametrize(
    ("loads", "load", "warns"),
    [
        ([0.1, 1.1], 0.1, False),  # the second one is the measuring process itself
        ([7.5, 7.5], 7.5, True),
        ([0.1, 9.0], 8.0, True),
        ([None, None], None, False),
    ],
)
def test_busy_machine_is_told(path, monkeypatch, loads, load, warns):
    values = iter(loads)
    monkeypatch.setattr(host, "load_average", lambda: next(values))
    monkeypatch.setattr(host.os, "cpu_count", lambda: 4)
    monkeypatch.setattr(host, "_measured", lambda spec, timeout: [(np.array([1.0]), None)])
    latency = tflite.profile([path], processes=1)[str(path)]
    assert latency.load_average == (None if load is None else pytest.approx(load))
    assert ("of 4 processors busy" in latency.warning) == warns
    assert latency.peak_memory is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"files": []}, "at least one TFLite file to time. Received: none"),
        ({"files": ["gone.tflite"]}, "path='gone.tflite': no file"),
        ({"processes": 0}, "at least 1. Received: processes=0"),
        ({"runs": 1.5}, "Received: runs=1.5"),
        ({"threads": 0}, "Received: threads=0"),
        ({"timeout": 0}, "timeout=0"),
        ({"files_per_process": 0}, "Received: files_per_process=0"),
    ],
)
def test_bad_arguments_of_profile(path, arguments, message):
    with pytest.raises(ValueError, match=message):
        tflite.profile(**({"files": [path]} | arguments))


def test_file_of_another_kind(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(ValueError, match=r"identifier 'TFL3'.*starts with b'<html>no'"):
        tflite.profile([path])
