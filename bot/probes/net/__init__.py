"""Sockets, kernel stamps and packets: where time is measured."""
