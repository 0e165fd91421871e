"""BUILD names every module, benchmark and test file once, and its deps are the imports."""

import ast
import collections
import importlib.util
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def python_files(*folders):
    return {
        path.relative_to(ROOT).as_posix()
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        if "__pycache__" not in path.parts
    }


def named_files():
    """How often each .py file stands in an attribute `src` or `srcs` of BUILD, by kind of rule.

    BUILD is read as what it is, Python syntax, without the program that writes it.
    """
    counts = collections.defaultdict(collections.Counter)
    for node in ast.walk(ast.parse((ROOT / "BUILD").read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        for keyword in node.keywords:
            if keyword.arg in ("src", "srcs"):
                value = ast.literal_eval(keyword.value)
                files = [value] if isinstance(value, str) else value
                counts[node.func.id].update(file for file in files if file.endswith(".py"))
    return counts


def test_build_names_every_module_once():
    counts = named_files()
    named = counts["py_library"] + counts["placed"]
    modules = python_files("keras_joslim", "tflite", "configs")
    support = {
        path for path in python_files("tests") if not pathlib.Path(path).name.startswith("test_")
    }
    assert set(named) == modules | support, "run `make bazel-files`"
    assert max(named.values()) == 1


def test_build_names_every_test_file_once():
    named = named_files()["pytest_test"]
    tests = {path for path in python_files("tests") if pathlib.Path(path).name.startswith("test_")}
    assert set(named) == tests, "run `make bazel-files`"
    assert max(named.values()) == 1


def test_build_names_every_benchmark():
    named = {file for file in named_files()["py_binary"] if file.startswith("benchmarks/")}
    assert named == python_files("benchmarks"), "run `make bazel-files`"


@pytest.fixture
def write_build():
    """The program, as a module of its own for each test, so that its root can be moved."""
    path = ROOT / "tools" / "bazel" / "write_build.py"
    spec = importlib.util.spec_from_file_location("write_build", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_tree(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_build_is_what_the_tree_and_its_imports_say(write_build, capsys):
    assert write_build.main(["--check"]) == 0, capsys.readouterr().err


def test_check_notices_an_import_that_is_new(write_build, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(write_build, "ROOT", tmp_path)
    make_tree(
        tmp_path,
        {
            "keras_joslim/__init__.py": "from keras_joslim.width_space import WidthSpace",
            "keras_joslim/width_space.py": "",
            "tflite/__init__.py": "from . import convert",
            "tflite/convert.py": "",
            "tflite/one.schema.json": "{}",
            "tests/search/test_engine.py": "import keras_joslim.search.engine",
            "keras_joslim/search/engine.py": "",
            "tests/search/logs/one.txt": "",
        },
    )
    assert write_build.main([]) == 0
    assert write_build.main(["--check"]) == 0
    text = (tmp_path / "BUILD").read_text()
    assert 'name = "keras_joslim",\n    srcs = ["keras_joslim/__init__.py"],' in text
    assert 'name = "test_engine",\n    src = "tests/search/test_engine.py",' in text
    assert 'deps = [":search"],' in text
    assert 'srcs = ["tests/search/logs/one.txt"],' in text
    assert 'data = [":tests_search_data"],' in text
    assert 'name = "tflite_data_placed",\n    srcs = ["tflite/one.schema.json"],' in text
    assert 'srcs = [":tflite_placed"],\n    data = [":tflite_data_placed"],' in text

    make_tree(tmp_path, {"tflite/convert.py": "def f():\n    from keras_joslim import width_space"})
    assert write_build.main(["--check"]) == 1
    assert "python tools/bazel/write_build.py" in capsys.readouterr().err
    assert write_build.main([]) == 0
    assert (
        'data = [":tflite_data_placed"],\n    deps = [":width_space"],'
        in (tmp_path / "BUILD").read_text()
    )


def test_a_circle_of_packages_is_refused_by_name(write_build, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(write_build, "ROOT", tmp_path)
    make_tree(
        tmp_path,
        {
            "keras_joslim/graph/walk.py": "from keras_joslim.layers import conv",
            "keras_joslim/layers/conv.py": "import keras_joslim.graph.walk",
        },
    )
    assert write_build.main([]) == 1
    message = capsys.readouterr().err
    assert "graph -> layers -> graph" in message or "layers -> graph -> layers" in message
    assert not (tmp_path / "BUILD").exists()


def test_an_import_of_a_module_that_does_not_exist_is_refused(
    write_build, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(write_build, "ROOT", tmp_path)
    make_tree(
        tmp_path,
        {
            "keras_joslim/__init__.py": "",
            "keras_joslim/front.py": "from keras_joslim.search.pareto import non_dominated",
        },
    )
    assert write_build.main([]) == 1
    message = capsys.readouterr().err
    assert "keras_joslim.search.pareto.non_dominated in keras_joslim/front.py" in message


def test_two_test_files_of_one_name_are_refused(write_build, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(write_build, "ROOT", tmp_path)
    make_tree(tmp_path, {"tests/a/test_x.py": "", "tests/b/test_x.py": ""})
    assert write_build.main([]) == 1
    assert "Received: test_x.py more than once" in capsys.readouterr().err
