"""The native rule, under the path that rules_python gives it."""

py_binary = native.py_binary
