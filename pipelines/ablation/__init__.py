"""What each part of a detector is worth: rows, trainings, report."""
