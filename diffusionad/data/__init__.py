"""Image files, masks and manifests. Value ranges and sizes of images change in this package only."""
