"""`joslim run` from class folders of JPEGs to TFLite files."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from keras_joslim import datasets, tflite
from tests.datasets.image_files.photos import write_folders

ROOT = pathlib.Path(__file__).resolve().parents[2]
RECIPE = """
import ml_collections

from keras_joslim.configs import digits


def get_config():
    config = digits.get_config()
    with config.unlocked():
        config.data = {data}
        config.model = {{"name": "cifar_resnet", "options": {{"depth": 8}}}}
        config.train.augment = {augment}
        config.update({{
            "train": {{"batch_size": 8, "epochs": 2, "warmup_epochs": 1}},
            "method": {{"tau": 4, "prior_points": 3, "calibration_size": 8}},
            "calibration": {{"batches": 2, "batch_size": 8}},
            "front": {{"networks": 2}},
            "export": {{"formats": ("fp32", "int8"), "points": "budget:2"}},
            "profile": {{"processes": 1, "runs": 2}},
        }})
    return config
"""
AUGMENT = {"scale": (0.25, 1), "ratio": (0.75, 1.3), "flip": True, "jitter": 0.4, "lighting": 0.1}


def recipe(folder, **data):
    data = {"name": "image_folder", "size": 8, "validation": 6, "max_corrupt": 3, **data}
    path = folder / "recipe.py"
    path.write_text(RECIPE.format(data=data, augment=AUGMENT))
    return path


def joslim(command, folder, *flags):
    arguments = [sys.executable, "-m", "keras_joslim.app.main", command, *flags]
    arguments += [f"--config={folder / 'recipe.py'}", f"--workdir={folder / 'run'}"]
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True)


@pytest.fixture
def root(tmp_path):
    root = write_folders(tmp_path / "photos", {"train": 8, "val": 3})
    data = datasets.load("image_folder", directory=str(root), size=8, validation=6)
    place = data.train.members[1]
    (root / "train" / data.train.source.name(place)).write_bytes(b"no image")
    return root


def test_a_folder_of_photographs_becomes_tflite_files(root, tmp_path):
    recipe(tmp_path, directory=str(root))
    result = joslim("run", tmp_path)
    assert result.returncode == 0, result.stderr
    assert "1 unreadable image was left out: " in result.stdout
    workdir = tmp_path / "run"
    front = json.loads((workdir / "front.json").read_text())
    manifest = json.loads((workdir / "manifest.json").read_text())
    assert manifest["labels"] == ["cat", "dog", "owl"]
    assert "shorter side is 9 pixels" in manifest["preprocessing"]["text"]
    data = datasets.load("image_folder", directory=str(root), size=8, validation=6)
    assert {entry["format"] for entry in manifest["files"]} == {"fp32", "int8"}
    for entry in manifest["files"]:
        assert entry["validation"]["examples"] == 6
        point = next(p for p in front["points"] if p["name"] == entry["point"])
        for measured, split in (("deployed", data.validation), ("tested", data.test)):
            if entry["format"] not in point[measured]:
                continue
            images, labels = split.arrays(len(split))
            logits = tflite.run(workdir / entry["path"], images)
            accuracy = np.mean(logits.argmax(-1) == labels)
            assert abs(point[measured][entry["format"]]["accuracy"] - accuracy) < 1e-6


def test_too_many_unreadable_images_end_a_run_with_one_line(root, tmp_path):
    recipe(tmp_path, directory=str(root), max_corrupt=0)
    result = joslim("train", tmp_path)
    assert result.returncode == 2
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("joslim: More than max_corrupt=0 images cannot be read, the last of")
    assert "--config.data.max_corrupt" in last
