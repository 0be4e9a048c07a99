"""An autoencoder and a segmenter that compares (the recipe of DRAEM, arXiv:2108.07610)."""
