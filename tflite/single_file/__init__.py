"""One TFLite file with a signature for each point, kernels stored once."""
