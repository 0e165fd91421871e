"""A reader sees the old content or the new, never a part of it."""

import json
import os
import pathlib
import stat

import pytest

from keras_joslim import atomic


class Killed(BaseException):
    """Not an Exception: nothing may catch it by accident."""


def names(folder):
    return sorted(path.name for path in pathlib.Path(folder).rglob("*"))


def test_writes_and_replaces(tmp_path):
    path = tmp_path / "new" / "folder" / "file.json"
    atomic.write_json(path, {"a": [1, 2.5, "ä"]})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": [1, 2.5, "ä"]}
    atomic.write_text(path, "other ä")
    assert path.read_bytes() == "other ä".encode()
    atomic.write_bytes(str(path), b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert names(path.parent) == ["file.json"]


def test_not_json_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.json"
    atomic.write_json(path, 1)
    with pytest.raises(ValueError, match="JSON"):
        atomic.write_json(path, float("nan"))
    with pytest.raises(TypeError):
        atomic.write_json(path, object())
    assert path.read_text() == "1\n"
    assert names(tmp_path) == ["file.json"]


@pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
def test_a_failure_at_any_step_leaves_the_old_file(tmp_path, monkeypatch, step):
    path = tmp_path / "file"
    atomic.write_text(path, "old")

    def fails(*args, **kwargs):
        raise Killed

    monkeypatch.setattr(os, step, fails)
    with pytest.raises(Killed):
        atomic.write_text(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_content_is_synced_before_it_takes_the_place(tmp_path, monkeypatch):
    calls = []
    real = {name: getattr(os, name) for name in ("fsync", "replace")}
    for name, function in real.items():

        def noted(*args, name=name, function=function):
            calls.append(name)
            return function(*args)

        monkeypatch.setattr(os, name, noted)
    atomic.write_text(tmp_path / "file", "x")
    # The file, the rename, then the folder that holds the name.
    assert calls == ["fsync", "replace", "fsync"]


def test_files_and_folders_are_for_everybody_that_the_umask_lets(tmp_path):
    before = os.umask(0o022)
    try:
        atomic.write_text(tmp_path / "file", "x")
        with atomic.directory(tmp_path / "folder"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o755


def test_a_directory_replaces_the_old_one_whole(tmp_path):
    target = tmp_path / "checkpoint"
    with atomic.directory(target) as folder:
        (folder / "old").write_text("1")
        assert not target.exists()
    with atomic.directory(target) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "new").write_text("2")
        assert names(target) == ["old"]
    assert names(target) == ["deep", "new"]
    assert names(tmp_path) == ["checkpoint", "deep", "new"]


def test_a_directory_whose_block_fails_stays_as_it_was(tmp_path):
    target = tmp_path / "checkpoint"
    with atomic.directory(target) as folder:
        (folder / "old").write_text("1")

    def interrupted():
        with atomic.directory(target) as folder:
            (folder / "new").write_text("2")
            raise Killed

    with pytest.raises(Killed):
        interrupted()
    assert names(tmp_path) == ["checkpoint", "old"]


def test_files_in_a_directory_are_synced(tmp_path, monkeypatch):
    synced = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (synced.append(handle), real(handle)))
    with atomic.directory(tmp_path / "folder") as folder:
        (folder / "a").write_text("1")
        (folder / "b").write_text("2")
    # Two files, and the folder that holds the name.
    assert len(synced) >= 3
