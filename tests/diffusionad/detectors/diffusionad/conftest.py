from toys.noise import draw, schedule

__all__ = ["draw", "schedule"]
