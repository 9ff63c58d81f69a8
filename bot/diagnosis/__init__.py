"""From observations to a named cause: pure functions, so the same observations always give the same verdict."""
