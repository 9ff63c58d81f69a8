"""Kill the bot, its database and its provider again and again, and count what became of every page."""
