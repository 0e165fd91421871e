"""What a training does while it runs: a table of its steps, and TensorBoard."""
