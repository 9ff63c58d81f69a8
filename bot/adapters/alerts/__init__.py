"""Alerts that others post to `/hooks/alerts/NAME`."""
