"""The absl application `joslim`."""
