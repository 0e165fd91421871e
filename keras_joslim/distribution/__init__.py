"""Training on several devices or machines: who takes part, what they agree on, how they fail.

Nothing is imported here: a command line is checked without TensorFlow.
"""
