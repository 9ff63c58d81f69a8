"""Playbooks and hypotheses as files."""

from bot.adapters.playbooks.files import (
    check_file,
    load_hypotheses,
    load_playbooks,
    read_hypothesis,
    read_playbook,
    schema,
)

__all__ = ["check_file", "load_hypotheses", "load_playbooks", "read_hypothesis", "read_playbook", "schema"]
