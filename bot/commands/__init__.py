"""What each command takes and which part of the bot carries it out; the parts are imported when one runs."""
