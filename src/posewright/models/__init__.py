"""Nets: one file for each family, a registry of presets, and the convention between points and heat maps."""
