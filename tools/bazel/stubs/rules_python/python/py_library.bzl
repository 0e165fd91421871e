"""The native rule, under the path that rules_python gives it."""

py_library = native.py_library
