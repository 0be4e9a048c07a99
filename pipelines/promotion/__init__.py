"""The gate: what is measured, what is decided, who becomes champion."""
