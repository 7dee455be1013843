"""Depth in dynamic scenes: datasets in one format."""
