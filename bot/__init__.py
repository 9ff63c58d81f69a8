"""Warroom: an incident-response chatops bot that asks every vantage point at once and names the cause."""

__version__ = "0.1.0"
