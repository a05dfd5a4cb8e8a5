"""Posed engines: the stages of a network as ONNX graphs of fixed size, for other runtimes."""
