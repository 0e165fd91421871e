"""A py_test that runs one file under pytest, with the settings of pyproject.toml."""

load("@rules_python//python:py_test.bzl", "py_test")

def pytest_test(name, src, deps = [], data = [], **kwargs):
    """Declares the test.

    Args:
      name: name of the target, that of the file without its ending.
      src: the test file.
      deps: libraries that it imports.
      data: further files that it reads.
      **kwargs: passed on to py_test.
    """
    py_test(
        name = name,
        srcs = [
            "//tools/bazel:run_pytest.py",
            src,
        ],
        args = ["$(rootpath {})".format(src)],
        data = data + ["//:pyproject.toml"],
        main = "//tools/bazel:run_pytest.py",
        deps = deps,
        **kwargs
    )
