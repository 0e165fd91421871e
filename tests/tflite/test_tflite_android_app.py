"""The benchmark app: installed, started and read from the log of a loopback phone."""

import re
import zipfile

import pytest

from keras_joslim.tflite.android import adb_errors, phone_app
from keras_joslim.tflite.benchmark_log import errors as benchmark_errors
from keras_joslim.tflite.profiling.benchmark_tool import file_sha256
from keras_joslim.tflite.profiling.rounds import RunTimeoutError
from tests.tflite.adb_fixtures import one_adb
from tests.tflite.android_profiles import TMP
from tests.tflite.tool_stand_ins import install_app, runs

PACKAGE = "org.tensorflow.lite.benchmark"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(phone_app.PhoneApp, "look", 0.05)


@pytest.fixture
def apk(tmp_path):
    path = tmp_path / "benchmark_model.apk"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("AndroidManifest.xml", "")
        file.writestr("lib/x86_64/libtensorflowlite_benchmark.so", "")
    return path


def app_phone(bench):
    phone = bench.phone()
    install_app(phone)
    return phone


def asked(phone, program):
    path = phone.path(f"/{program}s")
    return path.read_text().splitlines() if path.exists() else []


def failed(bench, apk, **options):
    (error,) = bench.failed(route="apk", benchmark_binary=apk, **options).errors.values()
    return error


def test_an_app_is_installed_measured_and_uninstalled(bench, apk):
    phone = app_phone(bench)
    measured = bench.profile(route="apk", benchmark_binary=apk, delegate="gpu", num_threads=2)
    found = measured[phone.serial].latencies
    assert (found["a"].milliseconds, found["b"].milliseconds) == (2.0, 3.0)
    assert (found["a"].route, found["a"].tool) == ("apk", file_sha256(apk))
    assert found["a"].peak_memory == 7.5 * 1024**2
    assert found["a"].cores is None
    assert "Not pinned to big cores: Android places the threads of an app" in found["a"].warnings[0]
    assert len(runs(phone)) == 2 + 2 + 2
    for arguments in runs(phone):
        assert re.search(r"/keras_joslim-\w+/\w{24}\.tflite$", arguments[0])
        assert arguments[1:6] == [
            "--num_threads=2",
            "--num_runs=5",
            "--min_secs=0",
            "--warmup_runs=1",
            "--use_gpu=true",
        ]
    assert len([one for one in phone.commands if " input keyevent KEYCODE_WAKEUP " in one]) == 6
    starts = [one for one in phone.commands if " am start " in one]
    assert len(starts) == 6
    for one in starts:
        assert f" am start -S -n {PACKAGE}/.BenchmarkModelActivity --es args '--graph=/d" in one
    (install,) = [one for one in asked(phone, "pm") if one.startswith("install")]
    assert re.fullmatch(rf"install -r -d -g {phone.folder}/.*/benchmark_model.apk", install)
    assert not phone.path("/app").exists()
    assert phone.path("/stopped").read_text() == f"{PACKAGE}\n"
    bench.assert_clean()
    # The log is other people's too.
    assert not [one for one in asked(phone, "logcat") if "-c" in one.split()]
    # A second call measures nothing, so it installs nothing.
    again = bench.profile(route="apk", benchmark_binary=apk, delegate="gpu", num_threads=2)
    assert again == measured
    assert len([one for one in asked(phone, "pm") if one.startswith("install")]) == 1


@one_adb
def test_an_app_that_is_there_stays(bench, apk):
    phone = app_phone(bench)
    phone.path("/app").write_bytes(apk.read_bytes())
    for binary in (None, apk):
        found = bench.profile(route="apk", benchmark_binary=binary)[phone.serial].latencies
        assert found["a"].tool == file_sha256(apk)
    assert {one.split()[0] for one in asked(phone, "pm")} == {"path"}
    assert phone.path("/app").exists()
    # Both calls are of the same app: the second one had nothing to measure.
    assert len(runs(phone)) == 6


@one_adb
def test_an_app_left_by_a_call_that_lost_the_phone_goes(bench, apk):
    phone = app_phone(bench)
    phone.program("am", "exit 1")
    failed(bench, apk)
    # What that call could not do: the phone was gone.
    phone.path("/app").write_bytes(apk.read_bytes())
    folder = next(one for one in asked(phone, "pm") if one.startswith("install")).split()[-1]
    phone.path(folder).parent.mkdir()
    phone.path(folder).write_bytes(apk.read_bytes())
    install_app(phone)
    bench.profile(route="apk", benchmark_binary=apk)
    assert not phone.path("/app").exists()
    bench.assert_clean()


@one_adb
def test_no_app(bench):
    phone = app_phone(bench)
    error = failed(bench, None)
    assert isinstance(error, benchmark_errors.ToolNotFoundError)
    assert "Pass the path of its APK as benchmark_binary=" in str(error)
    assert phone.pushes == []


@one_adb
def test_an_app_that_is_no_app(bench):
    phone = app_phone(bench)
    assert isinstance(failed(bench, bench.files["a"]), benchmark_errors.WrongAbiError)
    assert phone.pushes == []


@one_adb
def test_an_app_that_cannot_be_installed(bench, apk):
    phone = app_phone(bench)
    phone.program(
        "pm", 'case "$1" in install) echo "Failure [INSTALL_FAILED_USER_RESTRICTED]"; exit 1;; esac'
    )
    error = failed(bench, apk)
    assert re.search(r"does not install .*USER_RESTRICTED.*Install via USB", str(error))
    assert runs(phone) == []
    bench.assert_clean()


@one_adb
def test_an_activity_that_does_not_start(bench, apk):
    phone = app_phone(bench)
    # am exits with 0 all the same.
    phone.program("am", 'case "$1" in start) echo "Error: Activity class does not exist.";; esac')
    error = failed(bench, apk)
    assert isinstance(error, adb_errors.AdbError)
    assert "failed at starting the app: Error: Activity class does not exist." in str(error)
    assert runs(phone) == []
    bench.assert_clean()


@one_adb
def test_an_app_that_crashes(bench, apk):
    phone = app_phone(bench)
    phone.path("/fault").write_text(
        f'if [ $(wc -c < "$graph") = {bench.files["b"].stat().st_size} ]; then exit 9; fi\n'
    )
    (key, error), *more = bench.failed(route="apk", benchmark_binary=apk).errors.items()
    assert (key, more) == ((phone.serial, "b"), [])
    assert isinstance(error, benchmark_errors.TruncatedLogError)
    phone.path("/fault").unlink()
    found = bench.profile(route="apk", benchmark_binary=apk)[phone.serial].latencies
    assert {name: one.milliseconds for name, one in found.items()} == {"a": 2.0, "b": 3.0}
    bench.assert_clean()


@one_adb
def test_an_error_that_is_no_end_is_waited_upon(bench, apk, monkeypatch):
    phone = app_phone(bench)
    # The tool says so and goes on with another delegate.
    phone.path("/fault").write_text("echo 'Failed to apply GPU delegate.'; sleep 0.5\n")
    bench.files.pop("b")
    found = bench.profile(route="apk", benchmark_binary=apk)[phone.serial].latencies
    assert found["a"].milliseconds == 2.0
    # It says so and waits for ever: an error, with what it said.
    monkeypatch.setattr(phone_app, "_SETTLED", 0.3)
    bench.journal.unlink()
    phone.path("/fault").write_text("echo 'Failed to apply GPU delegate.'; sleep 600\n")
    errors = bench.failed(route="apk", benchmark_binary=apk).errors
    assert {type(error) for error in errors.values()} == {benchmark_errors.DelegateError}


@one_adb
def test_an_app_that_hangs(bench, apk):
    phone = app_phone(bench)
    phone.path("/fault").write_text("sleep 600\n")
    files = {"a": bench.files["a"]}
    error = failed(bench, apk, timeout=1.0, files=files)
    assert isinstance(error, RunTimeoutError)
    assert PACKAGE in phone.path("/stopped").read_text()
    (log,) = bench.logs.rglob("*.txt")
    assert "I tflite  : INFO: STARTING!" in log.read_text()
    assert "of an earlier run" not in log.read_text()
    bench.assert_clean()


@one_adb
def test_a_log_that_lost_its_beginning(bench, apk):
    phone = app_phone(bench)
    phone.program("logcat", "echo '08-21 09:14:03.000  612  613 I tflite  : INFO: STARTING!'")
    error = failed(bench, apk)
    assert re.search(r"no line that was written a moment ago.*adb logcat -G 16M", str(error))
    bench.assert_clean()
    assert list(phone.path(TMP).iterdir()) == []
