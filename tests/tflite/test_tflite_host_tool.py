"""The benchmark tool on this machine: the same rounds, journal and errors as on a phone."""

import pathlib
import resource
import signal
import threading

import pytest

from keras_joslim import tflite
from keras_joslim.tflite.benchmark_log import errors as benchmark_errors
from keras_joslim.tflite.profiling import host_tool
from keras_joslim.tflite.profiling.rounds import RunTimeoutError
from tests.tflite.adb_fixtures import NAMES
from tests.tflite.android_profiles import soon, until
from tests.tflite.tool_stand_ins import elf, needs_x86, write_model, write_real_tool, write_tool

pytestmark = needs_x86


@pytest.fixture(autouse=True)
def idle(monkeypatch):
    """Other jobs on this machine add no warnings."""
    monkeypatch.setattr(host_tool, "load_average", lambda: 0.0)


@pytest.fixture
def tool(tmp_path, monkeypatch):
    monkeypatch.setenv("PHONE", str(tmp_path))
    return write_tool(tmp_path)


@pytest.fixture
def models(tmp_path):
    return {
        "a": write_model(tmp_path / "a.tflite", 2000),
        "b": write_model(tmp_path / "b.tflite", 3000),
    }


def profile(tmp_path, models, tool, **options):
    given = {
        "journal": tmp_path / "journal.json",
        "logs": tmp_path / "logs",
        "rounds": 1,
        "runs": 5,
        "min_seconds": 0,
    }
    return tflite.profile_with_tool(models, tool, **given | options)


def failed(*arguments, **options):
    with pytest.raises(tflite.DeviceProfileError) as caught:
        profile(*arguments, **options)
    return caught.value


def runs(tmp_path):
    path = tmp_path / "runs"
    return path.read_text().splitlines() if path.exists() else []


def test_a_model_that_really_runs(tmp_path, path):
    found = profile(tmp_path, [path], write_real_tool(tmp_path), runs=20)[str(path)]
    assert 0 < found.min <= found.median <= found.p95
    assert (found.route, found.threads, found.cores) == ("host", 1, None)
    assert found.delegations[0].complete
    # That of the tool, not of this process, from which it was started.
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert found.memory < found.peak_memory < own / 2


def test_a_second_call_measures_nothing(tmp_path, models, tool):
    calls = []
    measured = profile(tmp_path, models, tool, on_progress=lambda *one: calls.append(one))
    assert {name: one.milliseconds for name, one in measured.items()} == {"a": 2.0, "b": 3.0}
    assert measured["a"].warnings == ()
    assert [done for done, _, _ in calls] == [1, 2, 3, 4, 5, 6]
    assert len(runs(tmp_path)) == 6
    assert profile(tmp_path, models, tool) == measured
    assert len(runs(tmp_path)) == 6


def test_nothing_in_a_name_is_executed(tmp_path, tool, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = [write_model(tmp_path / name, 2000) for name in NAMES]
    found = profile(tmp_path, named, tool)
    assert [one.milliseconds for one in found.values()] == [2.0] * len(NAMES)
    assert not list(tmp_path.rglob("executed"))


def test_a_busy_machine_is_told(tmp_path, models, tool, monkeypatch):
    loads = iter([0.0] + [7.0] * 9)
    monkeypatch.setattr(host_tool, "load_average", lambda: next(loads))
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    found = profile(tmp_path, models, tool, num_threads=2)
    assert "kept 5.0 of 4 processors busy" in found["a"].warnings[0]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("exit 0", benchmark_errors.TruncatedLogError),
        ("kill -SEGV $$", benchmark_errors.CrashedError),
        ("kill -KILL $$", benchmark_errors.OutOfMemoryError),
        (
            "echo 'Encountered unresolved custom op: Foo.'; exit 1",
            benchmark_errors.UnsupportedOperatorError,
        ),
        ("sleep 600", RunTimeoutError),
    ],
)
def test_one_file_that_fails(tmp_path, models, tool, fault, error):
    (tmp_path / "fault").write_text(f'[ $(wc -c < "$graph") = 2000 ] || {{ {fault}; }}\n')
    caught = failed(tmp_path, models, tool, timeout=3.0)
    ((device, name),) = caught.errors
    assert (device.split()[0], name) == ("host", "b")
    assert isinstance(caught.errors[device, name], error)
    assert list(caught.measured) == ["a"]
    (tmp_path / "fault").unlink()
    before = len(runs(tmp_path))
    assert list(profile(tmp_path, models, tool)) == ["a", "b"]
    # Of the other file only.
    assert len(runs(tmp_path)) == before + 2


def test_a_tool_that_does_not_start(tmp_path, models, tool):
    tool.write_bytes(elf(62)[:70])
    caught = failed(tmp_path, models, tool)
    ((_, name),) = caught.errors
    assert name is None
    assert not (tmp_path / "journal.json").exists()


def test_a_tool_for_another_machine(tmp_path, models, tool):
    for data, error in (
        (elf(183, 64, "/system/bin/linker64"), benchmark_errors.WrongAbiError),
        (b"", benchmark_errors.WrongAbiError),
    ):
        tool.write_bytes(data)
        with pytest.raises(error, match="linux_x86-64_benchmark_model"):
            profile(tmp_path, models, tool)
    with pytest.raises(benchmark_errors.ToolNotFoundError):
        profile(tmp_path, models, tmp_path / "missing")


def test_a_tool_that_may_not_be_executed(tmp_path, models, tool):
    tool.chmod(0o644)
    with pytest.raises(benchmark_errors.PermissionDeniedError, match="Run: chmod \\+x '"):
        profile(tmp_path, models, tool)


def test_interrupted(tmp_path, models, tool):
    pid = tmp_path / "pid"
    (tmp_path / "fault").write_text('echo $$ > "$PHONE/pid"; sleep 600\n')
    ready = soon(
        lambda: pid.exists() and pid.read_text().strip(),
        lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGINT),
    )
    with pytest.raises(KeyboardInterrupt):
        profile(tmp_path, models, tool)
    ready.join()
    until(lambda: not pathlib.Path(f"/proc/{pid.read_text().strip()}").exists())
    (tmp_path / "fault").unlink()
    assert list(profile(tmp_path, models, tool)) == ["a", "b"]
