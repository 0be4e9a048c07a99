"""The neural networks, without the diffusion process."""
