"""What is installed: import names, declared dependencies, pinned versions."""

import ast
import importlib.metadata
import json
import pathlib
import re
import subprocess
import sys

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Import name -> distribution, where they differ.
DISTRIBUTIONS = {"PIL": "pillow", "absl": "absl-py", "sklearn": "scikit-learn"}


def requirements():
    """The requirements of setup.py by extra; those of a plain installation under the name ''."""
    found = {"": []}
    for text in importlib.metadata.requires("keras_joslim"):
        requirement = Requirement(text)
        extra = re.search(r"extra == ['\"](\w+)['\"]", text)
        found.setdefault(extra.group(1) if extra else "", []).append(requirement)
    return found


def pins():
    """Canonical distribution name -> version in constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def imports_of_the_library():
    """Top-level names that the library imports -> the files that do."""
    found = {}
    for folder in ("keras_joslim", "tflite", "configs"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    names = [node.module]
                for name in names:
                    found.setdefault(name.split(".")[0], set()).add(path.name)
    return found


def test_every_third_party_import_is_declared():
    declared = {canonicalize_name(r.name) for group in requirements().values() for r in group}
    undeclared = {
        name: files
        for name, files in imports_of_the_library().items()
        if name not in sys.stdlib_module_names
        and name != "keras_joslim"
        and canonicalize_name(DISTRIBUTIONS.get(name, name)) not in declared
    }
    assert not undeclared


def test_tflite_is_imported_under_its_installed_name_only():
    importers = imports_of_the_library().get("tflite", set())
    assert not importers


@pytest.mark.parametrize("extra", ["", "test"])
def test_constraints_pin_a_version_that_each_requirement_allows(extra):
    pinned = pins()
    for requirement in requirements()[extra]:
        version = pinned.get(canonicalize_name(requirement.name))
        assert version, f"{requirement} is not in constraints.txt"
        assert requirement.specifier.contains(version), f"{requirement}, pinned to {version}"


def test_constraints_pin_everything_that_an_installation_brings():
    pinned = pins()
    seen = set()
    open_requirements = [*requirements()[""], *requirements()["test"]]
    while open_requirements:
        requirement = open_requirements.pop()
        name = canonicalize_name(requirement.name)
        if name in seen:
            continue
        seen.add(name)
        assert name in pinned, f"{requirement} is not in constraints.txt"
        for text in importlib.metadata.requires(name) or ():
            further = Requirement(text)
            if further.marker is None or further.marker.evaluate({"extra": ""}):
                open_requirements.append(further)
    assert "tensorflow" in seen


@pytest.fixture(scope="module")
def fresh_imports(tmp_path_factory):
    """What a fresh interpreter away from the checkout finds: only what is installed answers."""
    program = """
import importlib.metadata, json, pathlib, sys
import keras_joslim.configs, keras_joslim.tflite
(entry,) = importlib.metadata.entry_points(group="console_scripts", name="joslim")
print(json.dumps({
    "tflite": list(keras_joslim.tflite.__path__)[0],
    "configs": list(keras_joslim.configs.__path__)[0],
    "joslim": entry.value,
    "callable": callable(entry.load()),
    "stray": [name for name in sys.modules if name.split(".")[0] == "tflite"],
}))
"""
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path_factory.mktemp("elsewhere"),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize("folder", ["tflite", "configs"])
def test_a_top_level_folder_is_imported_as_part_of_the_package(folder, fresh_imports):
    path = pathlib.Path(fresh_imports[folder])
    assert path.is_dir()
    assert path.name == folder


def test_no_module_is_loaded_under_the_top_level_name_tflite(fresh_imports):
    assert fresh_imports["stray"] == []


def test_joslim_is_the_command_of_the_application(fresh_imports):
    assert fresh_imports["joslim"] == "keras_joslim.app.main:run"
    assert fresh_imports["callable"]


def test_setuptools_builds_in_no_folder_called_build():
    # Where case does not count, build/ and the file BUILD are one name.
    program = (
        "import runpy, setuptools\n"
        "def show(**keywords):\n"
        "    print(setuptools.Distribution(keywords).get_command_obj('build').build_base)\n"
        "setuptools.setup = show\n"
        "runpy.run_path('setup.py')\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip().lower() != "build"
    assert (ROOT / "BUILD").is_file()


def test_make_refuses_an_unsupported_python(tmp_path):
    old = tmp_path / "python3.10"
    old.write_text(
        f"#!/bin/sh\nexec {sys.executable} "
        "-c 'import sys; sys.version_info = (3, 10, 13); exec(sys.argv[1])' \"$2\"\n"
    )
    old.chmod(0o755)
    result = subprocess.run(
        ["make", "demo", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode != 0
    assert "keras_joslim needs Python 3.11, 3.12 or 3.13" in result.stderr
    assert f"{old} is 3.10" in result.stderr
    assert not (tmp_path / "venv").exists()


def test_the_version_is_the_same_everywhere():
    version = importlib.metadata.version("keras_joslim")
    for file, line in (
        ("setup.py", f'    version="{version}",'),
        ("keras_joslim/__init__.py", f'__version__ = "{version}"'),
        ("CITATION.cff", f"version: {version}"),
        ("MODULE.bazel", f'    version = "{version}",'),
    ):
        assert line in (ROOT / file).read_text(encoding="utf-8").splitlines(), file
    assert f"\n## {version} " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_folder_of_modules_is_a_package():
    # Without __init__.py a folder inside keras_joslim is left out of the wheel, and one at the top
    # is not found by an editable installation.
    folders = {
        path.parent
        for top in ("keras_joslim", "tflite", "configs")
        for path in (ROOT / top).rglob("*.py")
    }
    assert not [str(folder) for folder in folders if not (folder / "__init__.py").is_file()]
