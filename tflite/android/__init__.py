"""Phones over adb: what they are, and points measured on them."""
