"""Distance to remembered patches of normal images (PatchCore, arXiv:2106.08265)."""
