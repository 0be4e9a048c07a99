"""The diffusion process: equations over tensors, without weights."""
