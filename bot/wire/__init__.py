"""Frames between hub and agent, their signatures and versions: decode(encode(x)) == x, and no I/O."""
