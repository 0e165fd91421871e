"""The native rule, under the path that rules_python gives it."""

py_runtime = native.py_runtime
