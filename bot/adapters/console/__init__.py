"""The web console: chat, incidents, timeline and agents in the browser, live and without a build step."""
