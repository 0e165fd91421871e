"""Training that knows of the number format: tensorflow-model-optimization in its own process."""
