"""Pure values and rules; nothing here does I/O or knows a platform."""
