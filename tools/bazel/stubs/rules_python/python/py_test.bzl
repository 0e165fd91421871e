"""The native rule, under the path that rules_python gives it."""

py_test = native.py_test
