"""Slack: commands, buttons and messages in, cards and rooms out; over Socket Mode or HTTP."""

from bot.adapters.slack.platform import SlackPlatform

__all__ = ["SlackPlatform"]
