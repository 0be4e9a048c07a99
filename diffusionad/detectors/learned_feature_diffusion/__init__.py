"""DiffusionAD in the space of frozen features, with a denoiser that is learned."""
