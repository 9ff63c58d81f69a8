"""Clouds: how their calls are signed and what their answers mean."""
