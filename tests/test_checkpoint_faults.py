"""Damaged checkpoints, disks that cannot be written, a request to stop: nothing is lost."""

import builtins
import errno
import json
import os
import shutil

import numpy as np
import pytest

import keras_joslim as kj
from keras_joslim import checkpoint_files
from keras_joslim.checkpoint import Checkpoint
from keras_joslim.termination import Terminated
from tests.checkpoint_runs import SCHEDULES, assert_same_bits, run, small_model

FILES = ("variables.npz", "state.json", "index.json")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Directory of a finished run with three checkpoints, and its model."""
    directory = tmp_path_factory.mktemp("finished")
    slim, _, _ = run(directory, SCHEDULES["uniform"], keep={"keep_last": 3})
    return directory, slim


@pytest.fixture(scope="module")
def model():
    return small_model()


def _restored(directory, model, **options):
    """The checkpoint that a restart would use, and what it says."""
    said = []
    return Checkpoint(directory, model, kj.UniformWidths(), say=said.append, **options), said


def _flip(path, bit):
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


DAMAGES = {
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-7]),
    "empty": lambda path: path.write_bytes(b""),
    "missing": lambda path: path.unlink(),
    "first bit": lambda path: _flip(path, 0),
    "inner bit": lambda path: _flip(path, 8 * (path.stat().st_size // 2) + 3),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(
    finished, model, tmp_path, name, damage
):
    directory = shutil.copytree(finished[0], tmp_path / "run")
    DAMAGES[damage](directory / "step-000000021" / name)
    checkpoint, said = _restored(directory, model)
    assert (checkpoint.step, len(checkpoint.epochs)) == (18, 2)
    assert len(said) == 1
    assert said[0].startswith(f"{directory}/step-000000021 is damaged: ")
    # A digest that was changed in the index is one that a file does not have.
    assert name in said[0] or name == "index.json" and "by its digest" in said[0]
    assert said[0].endswith("Going on from the checkpoint before it, step 18.")
    with np.load(directory / "step-000000018" / "variables.npz") as saved:
        np.testing.assert_array_equal(saved["model/0"], model.variables[0].numpy())


def test_any_flipped_bit_is_found(finished, tmp_path):
    """Those of the archive that its own checksums do not cover, too."""
    folder = shutil.copytree(finished[0] / "step-000000021", tmp_path / "step")
    rng = np.random.default_rng(0)
    for name in FILES[:2]:
        size = 8 * (folder / name).stat().st_size
        for bit in rng.integers(size, size=40):
            _flip(folder / name, bit)
            with pytest.raises(checkpoint_files.DamagedCheckpointError, match=name):
                checkpoint_files.read(folder)
            _flip(folder / name, bit)
    checkpoint_files.read(folder)


def test_from_the_checkpoint_before_a_run_ends_with_the_same_bits(finished, tmp_path):
    directory = shutil.copytree(finished[0], tmp_path / "run")
    for step in (18, 21):
        DAMAGES["inner bit"](directory / f"step-{step:09d}" / "variables.npz")
    slim, _, checkpoint = run(directory, SCHEDULES["uniform"], every_steps=4)
    assert_same_bits(finished[1], slim)
    assert checkpoint.step == 21
    # Damaged ones are gone at the first save; they do not count among those kept.
    assert sorted(p.name for p in directory.iterdir()) == ["step-000000019", "step-000000021"]
    _, said = _restored(directory, slim)
    assert not said


def test_without_a_readable_checkpoint_nothing_begins_anew(finished, model, tmp_path):
    directory = shutil.copytree(finished[0], tmp_path / "run")
    for folder in directory.iterdir():
        DAMAGES["cut off"](folder / "variables.npz")
    with pytest.raises(ValueError, match="No checkpoint can be read") as caught:
        _restored(directory, model)
    for step in (15, 18, 21):
        assert f"step-{step:09d} is damaged: variables.npz has" in str(caught.value)
    assert f"remove {directory} to begin anew" in str(caught.value)


def test_checkpoints_from_before_there_was_an_index_are_read(finished, model, tmp_path):
    directory = shutil.copytree(finished[0], tmp_path / "run")
    folder = directory / "step-000000021"
    (folder / "index.json").unlink()
    state = json.loads((folder / "state.json").read_text())
    del state["indexed"]
    (folder / "state.json").write_text(json.dumps(state))
    checkpoint, said = _restored(directory, model)
    assert (checkpoint.step, said) == (21, [])


def test_a_checkpoint_of_a_later_version_is_refused(finished, model, tmp_path):
    directory = shutil.copytree(finished[0], tmp_path / "run")
    path = directory / "step-000000021" / "index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 2}))
    with pytest.raises(ValueError, match="checkpoint version 2; this keras_joslim reads 1"):
        _restored(directory, model)


# -- disks ---------------------------------------------------------------------------------------


class FailingDisk:
    """Counts what writes to the disk, and fails it from the given call on.

    Args:
        monkeypatch: pytest's.
        error: number of the error.
        at: which call is the first to fail; `None`: none.
        repaired_at: the first that does not fail any more; `None`: none.
    """

    def __init__(self, monkeypatch, error=errno.ENOSPC, at=None, repaired_at=None):
        self.calls, self.error, self.at, self.repaired_at = 0, error, at, repaired_at
        self._open = builtins.open
        for name in ("mkdir", "fsync", "chmod", "replace"):
            monkeypatch.setattr(os, name, self._checked(getattr(os, name)))
        monkeypatch.setattr(builtins, "open", self._opened)

    def count(self):
        self.calls += 1
        repaired = self.repaired_at is not None and self.calls >= self.repaired_at
        if self.at is not None and self.calls >= self.at and not repaired:
            raise OSError(self.error, os.strerror(self.error))

    def _checked(self, function):
        def checked(*args, **kwargs):
            self.count()
            return function(*args, **kwargs)

        return checked

    def _opened(self, file, mode="r", *args, **kwargs):
        if "w" in mode:
            self.count()
        handle = self._open(file, mode, *args, **kwargs)
        return _FailingFile(handle, self) if "w" in mode else handle


class _FailingFile:
    def __init__(self, file, disk):
        self._file, self._disk = file, disk

    def write(self, data):
        self._disk.count()
        return self._file.write(data)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()

    def __getattr__(self, name):
        return getattr(self._file, name)


def _content(directory):
    return {p.relative_to(directory): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS], ids=["full", "read-only"])
def test_a_save_that_fails_at_any_write_leaves_the_last_good_one_and_nothing_else(
    finished, model, tmp_path, monkeypatch, error
):
    directory = shutil.copytree(finished[0], tmp_path / "run")
    checkpoint, _ = _restored(directory, model, keep_last=1)
    before = _content(directory)
    checkpoint.step = 24
    with monkeypatch.context() as patch:
        disk = FailingDisk(patch)
        copy = shutil.copytree(directory, tmp_path / "copy")
        first = disk.calls
        counted, _ = _restored(copy, model, keep_last=1)
        counted.step = 24
        counted.save()
    calls = disk.calls - first
    # A folder, three files of some writes each, their fsync twice, the folder's name.
    assert calls > 15
    for at in range(1, calls):
        with monkeypatch.context() as patch:
            FailingDisk(patch, error, at)
            with pytest.raises(OSError, match=os.strerror(error)):
                checkpoint.save()
        assert _content(directory) == before, at
        assert len(list(directory.iterdir())) == 3
    assert _restored(directory, model)[0].step == 21
    checkpoint.save()
    assert [p.name for p in directory.iterdir()] == ["step-000000024"]


def test_what_the_disk_gives_back_changed_is_no_checkpoint(finished, model, tmp_path, monkeypatch):
    directory = shutil.copytree(finished[0], tmp_path / "run")
    checkpoint, _ = _restored(directory, model)
    checkpoint.step = 24
    fsync = os.fsync

    def corrupting(handle):
        fsync(handle)
        if os.fstat(handle).st_size > 2000:
            os.pwrite(handle, b"\xff", 1000)

    monkeypatch.setattr(os, "fsync", corrupting)
    with pytest.raises(OSError, match="What was read back is not what was written"):
        checkpoint.save()
    assert sorted(directory.iterdir())[-1].name == "step-000000021"


def test_training_goes_on_while_the_disk_is_full_and_saves_when_it_is_not(
    finished, tmp_path, monkeypatch
):
    said, write, tried = [], checkpoint_files.write, []

    def full_for_a_while(folder, arrays, state, facts):
        tried.append(state["step"])
        if 6 <= state["step"] <= 12:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(folder, arrays, state, facts)

    monkeypatch.setattr(checkpoint_files, "write", full_for_a_while)
    slim, _, checkpoint = run(tmp_path, SCHEDULES["uniform"], keep={"say": said.append})
    assert_same_bits(finished[1], slim)
    assert tried == list(range(3, 22, 3))
    assert checkpoint.saved_step == 21
    assert len(said) == 3
    assert said[0] == (
        "The checkpoint of step 6 could not be written ([Errno 28] No space left on device). The "
        "last one that was is of step 3. Training goes on; the next save tries again."
    )


def test_a_disk_that_stays_full_leaves_the_last_checkpoint_behind_the_step(tmp_path, monkeypatch):
    said, write = [], checkpoint_files.write

    def full(folder, arrays, state, facts):
        if state["step"] > 17:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        write(folder, arrays, state, facts)

    monkeypatch.setattr(checkpoint_files, "write", full)
    _, _, checkpoint = run(tmp_path, SCHEDULES["uniform"], keep={"say": said.append})
    assert (checkpoint.saved_step, checkpoint.step) == (15, 21)
    assert len(said) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-000000012", "step-000000015"]


def test_what_a_killed_writer_left_is_removed_at_the_next_save(finished, model, tmp_path):
    directory = shutil.copytree(finished[0], tmp_path / "run")
    shutil.copytree(directory / "step-000000021", directory / ".step-000000024.ab_c1234")
    checkpoint, _ = _restored(directory, model)
    # Who only reads leaves it alone: another process may be writing it.
    assert (directory / ".step-000000024.ab_c1234").exists()
    checkpoint.step = 24
    checkpoint.save()
    names = sorted(p.name for p in directory.iterdir())
    assert names == ["step-000000021", "step-000000024"]


# -- which are kept, and when to stop --------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3])
def test_so_many_checkpoints_are_kept(model, tmp_path, count):
    checkpoint, _ = _restored(tmp_path, model, keep_last=count)
    for step in (10, 20, 30, 40):
        checkpoint.step = step
        checkpoint.save()
    names = [f"step-{step:09d}" for step in (10, 20, 30, 40)]
    assert sorted(p.name for p in tmp_path.iterdir()) == names[-count:]


def test_one_checkpoint_of_so_many_hours_is_kept_for_good(model, tmp_path, monkeypatch):
    checkpoint, _ = _restored(tmp_path, model, keep_every_hours=2)
    hours = {10: 0.5, 20: 1.9, 30: 2.2, 40: 3.0, 50: 3.9, 60: 4.5, 70: 9.0, 80: 9.9}
    for step, hour in hours.items():
        checkpoint.step = step
        monkeypatch.setattr("keras_joslim.checkpoint.time.monotonic", lambda h=hour: 3600 * h)
        checkpoint._since = 0.0
        checkpoint.save()
    kept = {int(p.name.removeprefix("step-")) for p in tmp_path.iterdir()}
    # The first after each second hour, and the last two.
    assert kept == {30, 60, 70, 80}
    # A process that is started again counts on: 9.9 hours and 0.2 more begin another stretch.
    again, _ = _restored(tmp_path, model, keep_every_hours=2)
    again._since = 3600 * 9.9
    monkeypatch.setattr("keras_joslim.checkpoint.time.monotonic", lambda: 3600 * 10.1)
    for step in (90, 100, 110):
        again.step = step
        again.save()
    kept = {int(p.name.removeprefix("step-")) for p in tmp_path.iterdir()}
    assert kept == {30, 60, 70, 90, 100, 110}


@pytest.mark.parametrize(
    ("options", "message"),
    [({"keep_last": 0}, "keep_last must be"), ({"keep_every_hours": 0}, "keep_every_hours=0")],
)
def test_a_rule_that_keeps_nothing_is_refused(model, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        _restored(tmp_path, model, **options)


@pytest.mark.parametrize("asked_at", [4, 7])
def test_asked_to_stop_it_saves_and_goes_on_to_the_same_bits(finished, tmp_path, asked_at):
    """In the middle of an epoch and with its last step, which belongs to the epoch's end."""
    calls = []

    def asked():
        calls.append(None)
        return len(calls) == asked_at

    with pytest.raises(Terminated, match=f"stopped at step {asked_at}, which is saved"):
        run(tmp_path, SCHEDULES["uniform"], keep={"stop": asked})
    checkpoint, _ = _restored(tmp_path, small_model())
    assert (checkpoint.step, len(checkpoint.epochs)) == (asked_at, asked_at // 7)
    slim, _, _ = run(tmp_path, SCHEDULES["uniform"])
    assert_same_bits(finished[1], slim)
