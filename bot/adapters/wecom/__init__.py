"""WeCom (企业微信): the robot in groups, the application for one person alone, groups it makes, webhook robots."""

from bot.adapters.wecom.platform import WeComPlatform

__all__ = ["WeComPlatform"]
