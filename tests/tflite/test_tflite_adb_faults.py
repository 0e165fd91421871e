"""Faults of phones, by real adb binaries: each ends in its error, leaves nothing half-done, and is
over when the phone is well.
"""

import os
import shlex
import time

import pytest

from keras_joslim.tflite.android import adb_errors
from keras_joslim.tflite.android.adb import Adb
from tests.tflite.adb_daemon import FEATURES_6, FEATURES_12
from tests.tflite.adb_fixtures import FOLDER, unfinished

PATIENCE = 20.0


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"not much of a model\n" * 100)
    return path


def until(condition):
    """Waits for what another process or thread is about to do."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def state(adb):
    return {device.serial: device.state for device in adb.devices()}.get(adb.serial)


def heal(adb, phone):
    """What the owner of a phone does: plugs it in again."""
    phone.offline, phone.authorised = False, True
    phone.no_space_after = phone.cut_file_after = phone.cut_shell_after = phone.garbage = None
    phone.read_only = phone.hangs = False
    # adb's server must have noticed first that a connection is gone.
    until(lambda: phone.connections or state(adb) != "device")
    adb.connect(phone.serial)
    assert adb.shell(["echo", "well"]) == ("well\n", "", 0)


def test_unauthorized(make_phone, adb_binary, file):
    phone = make_phone(connect=False)
    phone.authorised = False
    adb = Adb(adb_binary, phone.serial)
    calls = [
        lambda: adb.connect(phone.serial),
        lambda: Adb(adb_binary).select(),
        lambda: adb.shell(["true"]),
        lambda: adb.push(file, f"{FOLDER}/x"),
    ]
    for call in calls:
        with pytest.raises(adb_errors.UnauthorizedError, match="Allow USB debugging"):
            call()
    until(lambda: any(connection.asked for connection in phone.connections))
    phone.accept_dialog()
    until(lambda: state(adb) == "device")
    adb.push(file, f"{FOLDER}/x")


def test_offline(adb, phone, adb_binary, file):
    phone.offline = True
    phone.drop()
    until(lambda: state(adb) == "offline")
    for call in (
        lambda: Adb(adb_binary).select(),
        lambda: adb.shell(["true"]),
        lambda: adb.push(file, f"{FOLDER}/x"),
        lambda: adb.pull("/data/x", file),
    ):
        with pytest.raises(adb_errors.OfflineError, match="offline"):
            call()
    assert file.read_bytes().startswith(b"not much")
    heal(adb, phone)


def test_no_space(adb, phone, tmp_path):
    (tmp_path / "big").write_bytes(os.urandom(2_000_000))
    phone.path(FOLDER).mkdir()
    phone.path(f"{FOLDER}/big").write_text("an older one")
    phone.no_space_after = 500_000
    with pytest.raises(adb_errors.NoSpaceError, match="No space left on device"):
        adb.push(tmp_path / "big", f"{FOLDER}/big")
    assert phone.path(f"{FOLDER}/big").read_text() == "an older one"
    assert unfinished(phone) == []
    heal(adb, phone)
    adb.push(tmp_path / "big", f"{FOLDER}/big")
    assert phone.path(f"{FOLDER}/big").stat().st_size == 2_000_000


def test_read_only_folder(adb, phone, file):
    phone.read_only = True
    with pytest.raises(adb_errors.ReadOnlyError, match="Read-only file system.*") as error:
        adb.push(file, f"{FOLDER}/x")
    assert "/data/local/tmp" in str(error.value)
    assert not phone.path(f"{FOLDER}/x").exists()
    phone.program("mkdir", "echo \"mkdir: '/x': Permission denied\" >&2; exit 1")
    with pytest.raises(adb_errors.ReadOnlyError, match="Permission denied"):
        adb.make_folder("/x")
    heal(adb, phone)
    adb.push(file, f"{FOLDER}/x")


def test_a_file_called_like_an_error(adb, phone, tmp_path):
    path = tmp_path / "device offline No space left on device"
    path.write_text("content")
    phone.read_only = True
    with pytest.raises(adb_errors.ReadOnlyError):
        adb.push(path, f"{FOLDER}/x")
    with pytest.raises(adb_errors.ReadOnlyError):
        adb.push(path, f"{FOLDER}/{path.name}")


def test_killed_while_pushing(adb, phone, tmp_path):
    (tmp_path / "big").write_bytes(os.urandom(4_000_000))
    phone.cut_file_after = 1_000_000
    with pytest.raises(adb_errors.DeviceLostError, match="try again"):
        adb.push(tmp_path / "big", f"{FOLDER}/big")
    assert not phone.path(f"{FOLDER}/big").exists()
    heal(adb, phone)
    adb.push(tmp_path / "big", f"{FOLDER}/big")
    assert [path.name for path in phone.path(FOLDER).iterdir()] == ["big"]


def test_killed_while_pulling(adb, phone, tmp_path):
    content = os.urandom(4_000_000)
    phone.path("/data/local/tmp/big").write_bytes(content)
    (tmp_path / "big").write_text("an older one")
    phone.cut_file_after = 1_000_000
    with pytest.raises(adb_errors.DeviceLostError, match="try again"):
        adb.pull("/data/local/tmp/big", tmp_path / "big")
    assert (tmp_path / "big").read_text() == "an older one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["big", "phone0"]
    heal(adb, phone)
    adb.pull("/data/local/tmp/big", tmp_path / "big")
    assert (tmp_path / "big").read_bytes() == content


@pytest.mark.parametrize("features", [FEATURES_6, FEATURES_12])
@pytest.mark.parametrize("after", [0, 30, 1000])
def test_killed_while_running(make_phone, adb_binary, features, after):
    phone = make_phone(features=features)
    adb = Adb(adb_binary, phone.serial)
    phone.cut_shell_after = after
    with pytest.raises(adb_errors.DeviceLostError, match="try again"):
        adb.shell(["sh", "-c", "echo avg=12.5; seq 5000; echo avg=99"])
    heal(adb, phone)


def test_adbs_exit_status_is_not_believed(tmp_path):
    # What adb 29 does when the phone dies: it prints the beginning and exits with 0.
    fake = tmp_path / "adb"
    fake.write_text(
        "#!/bin/sh\n"
        "word=$(echo \"$4\" | sed 's/-starts.*//; s/.*echo //')\n"
        'echo "$word-starts"; echo avg=12.5; printf "$word-ends 1"\n'
    )
    fake.chmod(0o755)
    with pytest.raises(adb_errors.DeviceLostError, match="avg=12.5") as error:
        Adb(fake, "x").shell(["true"])
    assert error.value.output.startswith("avg=12.5\n")


def test_shell_that_hangs(adb, phone):
    phone.hangs = True
    with pytest.raises(adb_errors.AdbTimeoutError, match="more than 0.5 s.*longer timeout="):
        adb.shell(["true"], timeout=0.5)
    heal(adb, phone)


def test_a_program_that_hangs_is_stopped_on_the_phone(adb, phone):
    script = "echo begun; echo $$ > started; trap '' HUP; sleep 600; true"
    # On a busy machine the program may not have begun within the first of them.
    for seconds in (1, 4, 16):
        with pytest.raises(adb_errors.AdbTimeoutError, match="longer timeout=") as error:
            adb.shell(["sh", "-c", script], timeout=seconds)
        if "begun\n" in error.value.output:
            break
    pid = int(phone.path("/started").read_text())
    until(lambda: not alive(pid))
    assert adb.shell(["echo", "next"]).stdout == "next\n"


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("garbage", ["shell", "packets"])
def test_garbage(adb, phone, file, garbage):
    phone.garbage = garbage
    for call in (lambda: adb.shell(["true"]), lambda: adb.push(file, f"{FOLDER}/x")):
        with pytest.raises((adb_errors.DeviceLostError, adb_errors.OfflineError)):
            call()
    assert not phone.path(f"{FOLDER}/x").exists()
    heal(adb, phone)
    adb.push(file, f"{FOLDER}/x")


def test_wrong_abi_is_an_exit_status(adb, phone):
    words = "/system/bin/sh: benchmark_model: not executable: 64-bit ELF file"
    phone.program("benchmark_model", f"echo {shlex.quote(words)} >&2; exit 126")
    assert adb.shell(["benchmark_model", "--graph=x"]) == ("", words + "\n", 126)
