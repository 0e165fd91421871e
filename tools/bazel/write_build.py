"""Writes the file BUILD from the source tree: one target per package and test, deps from imports.

    python tools/bazel/write_build.py           # write
    python tools/bazel/write_build.py --check   # exit code 1 if BUILD is not what would be written

Every top-level module of keras_joslim is a target of its own, for `keras_joslim/__init__.py`
imports the packages and the packages import those modules: as one target that would be a circle.
"""

import argparse
import ast
import collections
import graphlib
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGE = "keras_joslim"
# Top-level folders that are imported from inside the package: see package_dir in setup.py.
PLACED = ("configs", "tflite")

DOCSTRING = '''\
"""Targets of keras_joslim: a library per package, a test per test file.

Written by tools/bazel/write_build.py (`make bazel-files`) from the tree and its imports.
"""
'''

# Where the rules come from, in buildifier's order. Bazel 8 has no native Python rules any more.
LOADS = {
    "py_binary": "@rules_python//python:py_binary.bzl",
    "py_library": "@rules_python//python:py_library.bzl",
    "placed": "//tools/bazel:placed.bzl",
    "pytest_test": "//tools/bazel:pytest_test.bzl",
}

HEADER = """\
package(default_visibility = ["//visibility:public"])

licenses(["notice"])

exports_files([
    "LICENSE",
    "pyproject.toml",
])
"""


class Library:
    """A py_library to be: its files, as paths in the checkout, and the modules they are."""

    def __init__(self, name, folder=None):
        self.name = name
        self.folder = folder
        self.modules = {}  # dotted name -> path relative to the root
        self.deps = set()

    @property
    def sources(self):
        return sorted(self.modules.values())


def python_files(folder):
    """The .py files under `folder`, as sorted posix paths relative to the root."""
    return sorted(
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / folder).rglob("*.py")
        if "__pycache__" not in path.parts
    )


def libraries():
    """name -> Library, for keras_joslim, its packages, tflite and configs."""
    found = {}

    def add(library, folder, module, path):
        found.setdefault(library, Library(library, folder)).modules[module] = path

    for path in python_files(PACKAGE):
        parts = path.removesuffix(".py").split("/")
        module = ".".join(parts).removesuffix(".__init__")
        # A folder inside a package belongs to it: keras_joslim/graph/handlers/ is part of `graph`.
        add(PACKAGE if parts[1] == "__init__" else parts[1], None, module, path)
    for folder in PLACED:
        for path in python_files(folder):
            module = ".".join([PACKAGE, *path.removesuffix(".py").split("/")])
            add(folder, folder, module.removesuffix(".__init__"), path)
    return found


def imported(path, module):
    """Dotted names of this library's modules, or of things in them, that the file imports."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"), filename=path)
    package = module if path.endswith("__init__.py") else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def data_files(folder):
    """What lies in folders of `folder` and is not Python, as sorted posix paths."""
    return sorted(
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / folder).glob("*/**/*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    )


def placed_data(folder):
    """The JSON files of a placed folder, which its modules read, as sorted posix paths."""
    return sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*.json"))


def targets_of(path, module, owner):
    """The libraries that the file imports; `owner` maps a module to its library.

    Raises:
        ValueError: if the file imports a module of the library that does not exist.
    """
    for name in imported(path, module):
        if name.split(".")[0] not in (PACKAGE, "tests"):
            continue
        known = name
        while known not in owner and "." in known:
            known = known.rpartition(".")[0]
        # What is left of `from keras_joslim.search import x` must be a module of `search`.
        if known not in owner or (known == PACKAGE and name.count(".") > 1):
            raise ValueError(
                f"Expected imports of modules that exist. Received: {name} in {path}. "
                "Write that module first, or mend the import."
            )
        yield owner[known]


def listed(values, indent=4):
    """A Starlark list as buildifier formats it."""
    values = list(values)
    if len(values) < 2:
        return "[" + "".join(f'"{value}"' for value in values) + "]"
    space = " " * indent
    return "[\n" + "".join(f'{space}    "{value}",\n' for value in values) + space + "]"


def rule(kind, **attributes):
    """A rule call as buildifier formats it, without the attributes that are empty."""
    lines = [f"    {key} = {value},\n" for key, value in attributes.items() if value != "[]"]
    return f"{kind}(\n" + "".join(lines) + ")\n"


def quoted(text):
    return f'"{text}"'


def labels(names):
    return listed(f":{name}" for name in sorted(names))


def build_file():
    """The text of BUILD.

    Raises:
        ValueError: if libraries import each other in a circle or a module that does not exist, or
            if two tests have one name.
    """
    found = libraries()
    owner = {module: name for name, library in found.items() for module in library.modules}
    for library in found.values():
        for module, path in library.modules.items():
            library.deps |= set(targets_of(path, module, owner)) - {library.name}
    try:
        graphlib.TopologicalSorter({name: lib.deps for name, lib in found.items()}).prepare()
    except graphlib.CycleError as error:
        circle = " -> ".join(reversed(error.args[1]))
        raise ValueError(
            f"Expected packages that do not import each other in a circle. Received: {circle}. "
            "Move what both need into the lower one."
        ) from None

    text = []
    for name, library in sorted(found.items()):
        srcs, data = listed(library.sources), "[]"
        if library.folder:
            srcs = listed([f":{name}_placed"])
            text.append(placed(f"{name}_placed", library.folder, library.sources))
            files = placed_data(library.folder)
            if files:
                data = listed([f":{name}_data_placed"])
                text.append(placed(f"{name}_data_placed", library.folder, files))
        text.append(
            rule("py_library", name=quoted(name), srcs=srcs, data=data, deps=labels(library.deps))
        )

    main = f"{PACKAGE}/app/main.py"
    if main in found.get("app", Library("app")).sources:
        text.append(
            rule(
                "py_binary",
                name=quoted("joslim"),
                srcs=listed([main]),
                main=quoted(main),
                deps=labels(["app"]),
            )
        )
    for path in python_files("benchmarks"):
        text.append(
            rule(
                "py_binary",
                name=quoted("benchmark_" + pathlib.PurePath(path).stem),
                srcs=listed([path]),
                main=quoted(path),
                deps=labels(set(targets_of(path, "", owner))),
            )
        )
    text += tests(owner)
    used = {rule_text.partition("(")[0] for rule_text in text}
    loads = [f'load("{file}", "{kind}")\n' for kind, file in LOADS.items() if kind in used]
    return "\n".join([DOCSTRING, "".join(loads), HEADER, *text])


def placed(name, folder, files):
    """A rule that gives files of a top-level folder their place inside the package."""
    return rule(
        "placed",
        name=quoted(name),
        srcs=listed(files),
        folder=quoted(folder),
        under=quoted(PACKAGE),
    )


def tests(owner):
    """The rules of what is under tests/."""
    files = python_files("tests")
    cases = [path for path in files if pathlib.PurePath(path).name.startswith("test_")]
    support = [path for path in files if path not in cases]
    twice = [
        name
        for name, count in collections.Counter(pathlib.PurePath(p).stem for p in cases).items()
        if count > 1
    ]
    if twice:
        raise ValueError(
            f"Expected test files with names that differ. Received: {twice[0]}.py more than once. "
            "Rename one: a target is called like its file."
        )
    text = []
    owner = dict(owner)
    for path in support:
        owner[path.removesuffix(".py").replace("/", ".")] = path.removesuffix(".py").replace(
            "/", "_"
        )
    for path in support:
        name = path.removesuffix(".py").replace("/", "_")
        deps = set(targets_of(path, "", owner)) - {name}
        text.append(
            rule(
                "py_library",
                name=quoted(name),
                testonly="True",
                srcs=listed([path]),
                deps=labels(deps),
            )
        )
    folders = sorted({str(pathlib.PurePosixPath(path).parent) for path in cases} - {"tests"})
    data = {folder: data_files(folder) for folder in folders}
    for folder, found in data.items():
        if found:
            name = quoted(f"{folder}/data".replace("/", "_"))
            text.append(rule("filegroup", name=name, testonly="True", srcs=listed(found)))
    for path in cases:
        folder = str(pathlib.PurePosixPath(path).parent)
        deps = set(targets_of(path, "", owner))
        for above in pathlib.PurePosixPath(path).parents:
            if f"{above}/conftest.py" in support:  # pytest loads it, whoever imports it
                deps.add(f"{above}/conftest".replace("/", "_"))
        attributes = {"name": quoted(pathlib.PurePath(path).stem), "src": quoted(path)}
        if data.get(folder):
            attributes["data"] = labels([f"{folder}/data".replace("/", "_")])
        if path.startswith("tests/packaging/"):
            # They read the checkout itself, which a sandbox hides.
            attributes["local"] = "True"
        text.append(rule("pytest_test", **attributes, deps=labels(deps)))
    return text


def main(arguments=None):
    """Writes or checks BUILD; returns the exit code."""
    parser = argparse.ArgumentParser(description="Writes BUILD from the source tree.")
    parser.add_argument("--check", action="store_true", help="compare only, write nothing")
    check = parser.parse_args(arguments).check
    path = ROOT / "BUILD"
    try:
        text = build_file()
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    if not check:
        path.write_text(text, encoding="utf-8")
    elif not path.exists() or path.read_text(encoding="utf-8") != text:
        print(
            "BUILD does not name the tree's files and imports as they are. "
            "Run: python tools/bazel/write_build.py",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
