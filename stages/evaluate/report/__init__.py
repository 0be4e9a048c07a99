"""The page on which a person reviews a model: pictures, figures, curves, in one folder that needs no server."""
