"""What a registered version holds, and how it answers."""
