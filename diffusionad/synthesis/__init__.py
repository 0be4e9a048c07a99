"""Synthetic anomalies: masks (perlin, thin, shapes), their appearance (textures, alterations), and blending."""
