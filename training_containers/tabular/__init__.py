"""The tabular image family: rows and columns in, a classifier or a regressor as ONNX out."""
