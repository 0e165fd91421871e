"""Faults while phones are measured: each ends in a clear error, and a second call does the rest."""

import os
import re
import signal
import threading

import pytest

from keras_joslim import tflite
from keras_joslim.tflite.android import adb_errors, phone_tool
from keras_joslim.tflite.android import profile as android
from keras_joslim.tflite.android.adb import Adb
from keras_joslim.tflite.benchmark_log import errors as benchmark_errors
from keras_joslim.tflite.profiling.journal import Journal
from keras_joslim.tflite.profiling.rounds import RunTimeoutError
from tests.tflite.adb_fixtures import one_adb
from tests.tflite.android_profiles import TMP, soon, until
from tests.tflite.phone_programs import PIXEL
from tests.tflite.tool_stand_ins import elf, needs_x86, runs, write_tool

pytestmark = needs_x86


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """A phone that is gone is not waited for as long as in life."""
    monkeypatch.setattr(phone_tool, "_CLEANING", 3.0)


def the_error(failed, phone, name=None):
    """The one error there is, of this phone and file."""
    assert list(failed.errors) == [(phone.serial, name)]
    error = failed.errors[phone.serial, name]
    assert str(error) in str(failed)
    assert failed.__cause__ is error
    return error


def heal(bench, phone):
    phone.offline = phone.read_only = phone.hangs = False
    phone.no_space_after = phone.cut_file_after = phone.cut_shell_after = phone.garbage = None
    phone.path("/fault").unlink(missing_ok=True)
    adb = Adb(bench.adb_binary, phone.serial)
    until(lambda: phone.connections or adb.serial not in states(adb))
    adb.connect(phone.serial)


def states(adb):
    return [device.serial for device in adb.devices() if device.state == "device"]


def lose(phone):
    """The phone dies, its programs with it."""
    phone.offline = True
    phone.drop()


def fault_of(bench, name, script):
    """Shell code that runs before the tool prints its result on one of the files."""
    size = bench.files[name].stat().st_size
    return f'if [ $(wc -c < "$graph") = {size} ]; then\n{script}\nfi\n'


# Before anything runs


@one_adb
def test_a_tool_for_another_processor(bench):
    phone = bench.phone(PIXEL)
    error = the_error(bench.failed(), phone)
    assert isinstance(error, benchmark_errors.WrongAbiError)
    message = r"for x86_64; the phone runs arm64-v8a, .*Download android_aarch64_benchmark_model"
    assert re.search(message, str(error))
    assert (phone.pushes, runs(phone)) == ([], [])
    bench.assert_clean()


@one_adb
@pytest.mark.parametrize("content", [b"#!/bin/sh\necho", elf(183, 64, "/lib/ld-linux.so.1")])
def test_a_tool_that_is_none(bench, content):
    phone = bench.phone()
    bench.tool.write_bytes(content)
    assert isinstance(the_error(bench.failed(), phone), benchmark_errors.WrongAbiError)
    assert phone.pushes == []


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"no_space_after": 100}, adb_errors.NoSpaceError),
        ({"read_only": True}, adb_errors.ReadOnlyError),
        ({"cut_file_after": 100}, adb_errors.AdbError),
    ],
    ids=["no space", "read-only", "killed while pushing"],
)
def test_files_that_do_not_arrive(bench, fault, error):
    phone = bench.phone()
    for name, value in fault.items():
        setattr(phone, name, value)
    assert isinstance(the_error(bench.failed(), phone), error)
    assert runs(phone) == []
    assert not bench.journal.exists()
    heal(bench, phone)
    bench.assert_finishes()


@one_adb
def test_a_shell_that_prints_garbage(bench):
    phone = bench.phone()
    phone.garbage = "shell"
    assert isinstance(the_error(bench.failed(), phone), adb_errors.AdbError)
    heal(bench, phone)
    bench.assert_finishes()


@one_adb
def test_a_phone_that_is_not_there(bench):
    phone = bench.phone()
    failed = bench.failed(serials=[phone.serial, "R58M; touch executed"])
    assert list(failed.errors) == [("R58M; touch executed", None)]
    assert isinstance(failed.errors["R58M; touch executed", None], tflite.DeviceNotFoundError)
    assert list(failed.measured) == [phone.serial]
    assert len(failed.measured[phone.serial].latencies) == 2
    bench.assert_clean()


# While the tool runs


def test_a_phone_that_dies_in_a_run(bench):
    phone = bench.phone()
    # Its output is cut in the middle of a line; adb 29 exits with 0 then.
    phone.path("/fault").write_text(fault_of(bench, "b", "printf 'INFO: Inf'; sleep 60"))
    killer = soon(lambda: latest_size(phone) == 3000, lambda: lose(phone))
    failed = bench.failed()
    killer.join()
    assert isinstance(the_error(failed, phone), adb_errors.AdbError)
    assert re.search(r"Not removed, .*/data/local/tmp/keras_joslim-\w+ on 127", str(failed))
    # What was measured before stands in the journal.
    assert len(Journal(bench.journal)) == len(runs(phone)) - 1
    assert [path for path in bench.folder.rglob("*") if "journal" in path.name] == [bench.journal]
    heal(bench, phone)
    pushes, before = len(phone.pushes), runs(phone)
    bench.assert_finishes()
    assert len(phone.pushes) == pushes
    assert len(runs(phone)) == 6 + 1
    assert runs(phone)[len(before)] == before[-1]


def latest_size(phone):
    """Bytes of the model that was run last."""
    asked = runs(phone)
    return os.stat(asked[-1][0].removeprefix("--graph=")).st_size if asked else 0


@one_adb
def test_a_tool_that_ends_in_the_middle(bench):
    phone = bench.phone()
    # Exit status 0, half of the text.
    phone.path("/fault").write_text(fault_of(bench, "b", "exit 0"))
    failed = bench.failed()
    error = the_error(failed, phone, "b")
    assert isinstance(error, benchmark_errors.TruncatedLogError)
    assert list(failed.measured[phone.serial].latencies) == ["a"]
    bench.assert_clean()
    heal(bench, phone)
    bench.assert_finishes()


@one_adb
def test_a_tool_that_crashes(bench):
    phone = bench.phone()
    phone.path("/fault").write_text(fault_of(bench, "a", "kill -SEGV $$"))
    failed = bench.failed()
    assert isinstance(the_error(failed, phone, "a"), benchmark_errors.CrashedError)
    found = failed.measured[phone.serial].latencies["b"]
    assert found.drift is None
    heal(bench, phone)
    bench.assert_finishes()


@one_adb
def test_a_tool_that_prints_garbage(bench):
    phone = bench.phone()
    tool = bench.tool.read_bytes()
    write_tool(bench.folder, "#!/bin/sh\nhead -c 3000 /dev/urandom | tr -d '\\n'; echo\n")
    # No figure is believed, and the next file is not tried.
    error = the_error(bench.failed(), phone)
    assert isinstance(error, benchmark_errors.UnknownLogError)
    assert "Check that --benchmark_binary is benchmark_model" in str(error)
    assert not bench.journal.exists()
    bench.assert_clean()
    write_tool(bench.folder)
    assert bench.tool.read_bytes() == tool
    bench.assert_finishes()


@one_adb
def test_a_file_that_hangs(bench):
    phone = bench.phone()
    phone.path("/fault").write_text(fault_of(bench, "b", "echo $$ > $PHONE/pid; sleep 600"))
    failed = bench.failed(timeout=3.0)
    error = the_error(failed, phone, "b")
    assert isinstance(error, RunTimeoutError)
    assert "more than 3 s and was stopped; the phone is well" in str(error)
    assert list(failed.measured[phone.serial].latencies) == ["a"]
    # What it had printed until then is kept.
    assert len(list(bench.logs.rglob("b.round0.run1.out.txt"))) == 1
    until(lambda: not alive(phone))
    bench.assert_clean()
    heal(bench, phone)
    bench.assert_finishes()


def alive(phone):
    try:
        os.kill(int(phone.path("/pid").read_text()), 0)
    except ProcessLookupError:
        return False
    return True


@one_adb
def test_a_shell_that_hangs(bench, monkeypatch):
    phone = bench.phone()
    monkeypatch.setattr(android, "Adb", lambda binary, serial: Adb(binary, serial, timeout=3.0))
    monkeypatch.setattr(phone_tool, "_CLEANING", 0.5)

    def hang(done, total, what):
        phone.hangs = True

    error = the_error(bench.failed(on_progress=hang), phone)
    assert isinstance(error, adb_errors.AdbTimeoutError)
    assert len(Journal(bench.journal)) == 1
    heal(bench, phone)
    bench.assert_finishes()


@one_adb
def test_a_delegate_that_falls_back_silently(bench):
    phone = bench.phone()
    words = "Though GPU delegate is explicitly applied, the model graph will not be executed by"
    phone.path("/fault").write_text(fault_of(bench, "b", f"echo 'INFO: {words} the delegate.'"))
    graph = fault_of(
        bench,
        "a",
        "echo 'VERBOSE: Replacing 9 out of 9 node(s) with delegate (TfLiteGpuDelegateV2) node, "
        "yielding 1 partitions for subgraph 0.'; replaced=0",
    )
    with phone.path("/fault").open("a") as file:
        file.write(graph)
    found = bench.profile(delegate="gpu")[phone.serial].latencies
    assert found["a"].warnings == ()
    assert "gpu was requested, but does not execute the model" in found["b"].warnings[0]
    assert (found["b"].delegate, found["b"].delegations[0].name) == ("gpu", "TfLiteXNNPackDelegate")
    # The latency is there; asked to, it is refused.
    failed = bench.failed(delegate="gpu", require_delegate=True)
    assert isinstance(the_error(failed, phone, "b"), benchmark_errors.DelegateError)
    assert list(failed.measured[phone.serial].latencies) == ["a"]
    bench.assert_clean()


@one_adb
def test_a_delegate_that_takes_a_part(bench):
    phone = bench.phone()
    phone.path("/fault").write_text("replaced=4\n")
    found = bench.profile()[phone.serial].latencies["a"]
    assert "4 of 9 nodes in 1 partition" in found.warnings[0]
    assert not found.delegations[0].complete


# Several phones, and the end


def test_one_phone_of_two_dies(bench):
    well, dying = bench.phone(), bench.phone()
    dying.path("/fault").write_text("[ $(wc -l < $PHONE/runs) -lt 3 ] || sleep 60\n")
    killer = soon(lambda: len(runs(dying)) == 3, lambda: lose(dying))
    failed = bench.failed()
    killer.join()
    assert isinstance(the_error(failed, dying), adb_errors.AdbError)
    assert len(failed.measured[well.serial].latencies) == 2
    assert failed.measured[well.serial].latencies["a"].warnings == ()
    (partly,) = failed.measured[dying.serial].latencies.values()
    assert partly.rounds == 1
    assert list(well.path(TMP).iterdir()) == []
    done = len(runs(well))
    heal(bench, dying)
    bench.assert_finishes()
    assert len(runs(well)) == done == 6
    assert len(runs(dying)) == 7


@one_adb
def test_interrupted(bench):
    phones = [bench.phone(), bench.phone()]
    for phone in phones:
        phone.path("/fault").write_text("echo $$ > $PHONE/pid; [ -f $PHONE/go ] || sleep 600\n")
    ready = soon(
        lambda: all(phone.path("/pid").exists() for phone in phones),
        lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGINT),
    )
    with pytest.raises(KeyboardInterrupt):
        bench.profile()
    ready.join()
    for phone in phones:
        until(lambda phone=phone: not alive(phone))
    bench.assert_clean()
    for phone in phones:
        heal(bench, phone)
    bench.assert_finishes()


def test_an_interrupted_client_refuses(adb, phone):
    waiting = soon(lambda: phone.path("/begun").exists(), adb.interrupt)
    with pytest.raises(adb_errors.AdbError, match="was interrupted"):
        adb.shell(["sh", "-c", "echo > begun; sleep 60"])
    waiting.join()
    with pytest.raises(adb_errors.AdbError, match="was interrupted"):
        adb.shell(["true"])
    assert Adb(adb.binary, adb.serial).shell(["true"]).code == 0


@one_adb
def test_a_full_disk_here(bench, monkeypatch):
    phone = bench.phone()

    def full(path, text):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("keras_joslim.atomic.write_text", full)
    with pytest.raises(OSError, match="No space"):
        bench.profile()
    bench.assert_clean()
    assert len(runs(phone)) == 1
    monkeypatch.undo()
