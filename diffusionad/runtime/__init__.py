"""How a trained model runs: torch, ONNX Runtime or OpenVINO behind one call, and what each must agree on."""
