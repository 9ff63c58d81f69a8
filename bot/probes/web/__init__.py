"""One HTTP exchange, measured phase by phase, and what is read from services that speak HTTP."""
