from toys.networks import build, images
from toys.noise import draw, schedule

__all__ = ["build", "draw", "images", "schedule"]
