"""What several kinds of detectors share."""
