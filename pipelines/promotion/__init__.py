"""Registered versions and the gate: what is measured, what is decided, which version becomes champion."""
