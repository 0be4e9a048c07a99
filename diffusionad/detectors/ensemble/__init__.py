"""Several detectors on one scale, whose maps are added up."""
