"""Any ONNX face classifier as an extractor of mer."""
