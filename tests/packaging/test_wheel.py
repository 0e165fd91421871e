"""The wheel, built as for a release, runs the main job in a second environment."""

import json
import os
import pathlib
import subprocess
import sys
import sysconfig
import tarfile
import zipfile

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.wheel]

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The smallest run that still goes through every step: training, front, export, profile, plot.
TINY_RUN = (
    "--config.train.epochs=2",
    "--config.train.warmup_epochs=1",
    "--config.method.tau=8",
    "--config.method.prior_points=4",
    "--config.calibration.batches=2",
    "--config.profile.processes=1",
    "--config.profile.runs=2",
)


def run(*command, cwd):
    """Runs the command without a way back to the checkout; returns what it printed."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    result = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Paths of the sdist and of the wheel that is built from it."""
    directory = tmp_path_factory.mktemp("dist")
    run(
        *(sys.executable, "-m", "build", "--no-isolation", "--outdir", directory, ROOT),
        cwd=directory,
    )
    (sdist,) = directory.glob("*.tar.gz")
    (wheel,) = directory.glob("*.whl")
    return sdist, wheel


def modules_in_the_checkout():
    """Paths inside the wheel that the tree's modules must have."""
    found = set()
    for folder, place in (
        ("keras_joslim", "keras_joslim"),
        ("tflite", "keras_joslim/tflite"),
        ("configs", "keras_joslim/configs"),
    ):
        for path in (ROOT / folder).rglob("*.py"):
            found.add(f"{place}/{path.relative_to(ROOT / folder).as_posix()}")
    return found


# What modules read beside them.
DATA = {"keras_joslim/tflite/manifest.schema.json"}


def test_the_wheel_holds_every_module_in_its_place_and_nothing_else(built):
    _, wheel = built
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == modules_in_the_checkout() | DATA


def test_the_sdist_holds_what_a_test_run_needs(built):
    sdist, _ = built
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "Makefile", "constraints.txt", "BUILD", ".ci/run"} <= names
    assert {f"tests/packaging/{pathlib.Path(__file__).name}", "configs/digits.py"} <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith("runs/")]


@pytest.fixture(scope="module")
def environment(built, tmp_path_factory):
    """The folder of an environment outside the checkout with the wheel installed."""
    _, wheel = built
    directory = tmp_path_factory.mktemp("second") / "environment"
    run(sys.executable, "-m", "venv", "--without-pip", directory, cwd=directory.parent)
    python = directory / "bin" / "python"
    # The dependencies are those of the first environment, by a .pth file: a second TensorFlow
    # would take minutes. A .pth file that is reached this way is not read itself, so the editable
    # installation of the checkout does not come along.
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd="/")
    first = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    pathlib.Path(site.strip(), "dependencies.pth").write_text("\n".join(sorted(first)) + "\n")
    run(
        *(sys.executable, "-m", "pip", "--python", python, "install", "--quiet"),
        *("--no-deps", "--no-index", "--ignore-installed", wheel),
        cwd=directory.parent,
    )
    return directory


def test_the_second_environment_does_not_see_the_checkout(environment, tmp_path):
    program = (
        "import keras_joslim, keras_joslim.tflite, keras_joslim.configs\n"
        "for m in (keras_joslim, keras_joslim.tflite, keras_joslim.configs):\n"
        "    print(list(m.__path__)[0])\n"
    )
    printed = run(environment / "bin" / "python", "-c", program, cwd=tmp_path).splitlines()
    assert len(printed) == 3
    for path in printed:
        assert pathlib.Path(path).is_relative_to(environment)


def test_joslim_run_makes_a_front_outside_the_checkout(environment, tmp_path):
    # No configs/ here: the recipe is the one inside the wheel.
    run(
        *(environment / "bin" / "joslim", "run", "--config=configs/digits.py"),
        *("--workdir=work", *TINY_RUN),
        cwd=tmp_path,
    )
    front = json.loads((tmp_path / "work" / "front.json").read_text(encoding="utf-8"))
    assert front["points"]
    for point in front["points"]:
        assert (tmp_path / "work" / point["files"]["fp32"]).stat().st_size > 0
