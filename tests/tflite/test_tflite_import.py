"""The package is keras_joslim.tflite and nothing else; heavy imports happen where used."""

import ast
import pathlib
import subprocess
import sys

import pytest

from keras_joslim import tflite

FOLDER = pathlib.Path(tflite.__file__).parent


def test_no_module_named_tflite_is_loaded():
    program = (
        "import sys, keras_joslim.tflite\n"
        "print([m for m in sys.modules if m == 'tflite' or m.startswith('tflite.')])\n"
        "print('keras_joslim.tflite.export' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["[]", "True"]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_heavy_packages_are_imported_where_used(path):
    heavy = {"tensorflow", "keras", "ai_edge_litert", "tflite"}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names = [node.module]
        assert heavy.isdisjoint(name.split(".")[0] for name in names)


def test_public_names_exist():
    assert all(hasattr(tflite, name) for name in tflite.__all__)
    assert callable(tflite.export)
    assert callable(tflite.verify)
