"""DiffusionAD in the space of frozen features, with the exact denoiser of the normal patches."""
