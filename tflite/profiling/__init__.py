"""Latency of exported files: on this machine, and what all devices have in common."""
