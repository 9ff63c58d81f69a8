"""What bot and agent both use to reach others."""
