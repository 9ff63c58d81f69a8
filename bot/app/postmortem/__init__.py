"""What is left when the night is over: a report built from what is on record, and nothing else. Pure but for `read`.

The same rows always give the same report: it has no time of its own, and everything in it is in a fixed order.
"""
