"""What the TFLite benchmark tool prints, read: pure functions over captured text."""
