"""A Python toolchain of the checkout's own environment: the interpreter of .venv, made by `make test`.

`--repo_env=JOSLIM_PYTHON=/path/to/python` names another one that has the dependencies.
"""

_BUILD = """\
load("@rules_python//python:py_runtime.bzl", "py_runtime")
load("@rules_python//python:py_runtime_pair.bzl", "py_runtime_pair")

py_runtime(
    name = "runtime",
    interpreter_path = "{interpreter}",
    python_version = "PY3",
)

py_runtime_pair(
    name = "runtime_pair",
    py3_runtime = ":runtime",
)

toolchain(
    name = "toolchain",
    toolchain = ":runtime_pair",
    toolchain_type = "{toolchain_type}",
)
"""

def _local_python_impl(repository_ctx):
    root = repository_ctx.path(repository_ctx.attr.root).dirname
    interpreter = repository_ctx.os.environ.get(
        "JOSLIM_PYTHON",
        str(root.get_child(".venv").get_child("bin").get_child("python")),
    )
    if not repository_ctx.path(interpreter).exists:
        fail("expected a Python interpreter with the dependencies, got none at {}: ".format(interpreter) +
             "run `make test` first, or pass --repo_env=JOSLIM_PYTHON=/path/to/python")
    repository_ctx.file("BUILD.bazel", _BUILD.format(
        interpreter = interpreter,
        toolchain_type = repository_ctx.attr.toolchain_type,
    ))

local_python = repository_rule(
    implementation = _local_python_impl,
    attrs = {
        "root": attr.label(default = "//:BUILD", doc = "A file at the root of the checkout."),
        "toolchain_type": attr.string(default = "@bazel_tools//tools/python:toolchain_type"),
    },
    doc = "Defines @local_python//:toolchain.",
    environ = ["JOSLIM_PYTHON"],
    local = True,
)
