from toys.networks import build, images

__all__ = ["build", "images"]
