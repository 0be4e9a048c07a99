"""Ablation: what each part of a detector contributes."""
