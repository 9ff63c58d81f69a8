"""The shipped playbooks with the lab's ports: what they ask stays the same, only `:port` is added."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ruamel.yaml import YAML

import bot
from bot.lab.loopback.world import Ports


def shipped_playbooks() -> Path:
    """The playbooks folder of the wheel, else of the source tree. Raises FileNotFoundError."""
    package = Path(bot.__file__).parent
    for folder in (package / "_data" / "playbooks", package.parent / "playbooks"):
        if folder.is_dir():
            return folder
    raise FileNotFoundError("no playbooks folder next to the package")


def copy_playbooks(source: Path, target: Path, ports: Ports) -> None:
    """Copy the folder; playbooks at its top get the lab's ports, everything below stays as it is."""
    shutil.copytree(source, target, dirs_exist_ok=True)
    yaml = YAML()
    yaml.width = 4096
    for path in sorted(target.glob("*.y*ml")):
        document = yaml.load(path.read_text(encoding="utf-8"))
        if isinstance(document, dict):
            _move(document, ports)
            with path.open("w", encoding="utf-8") as out:
                yaml.dump(document, out)


def _move(document: Any, ports: Ports) -> None:
    for section in ("targets", "controls"):
        if section in document:
            document[section] = _with_port(document[section], ports)
    # resolvers out there are not part of this world; each agent's policy names its own
    document.pop("resolvers", None)
    _move_neighbours(document, ports)


def _with_port(value: Any, ports: Ports) -> Any:
    """Add the port to every URL in a tree of lists and mappings, in place where it is one."""
    if isinstance(value, str):
        url = urlsplit(value)
        port = {"https": ports.https, "http": ports.neighbour}.get(url.scheme)
        return value if port is None or url.port else url._replace(netloc=f"{url.hostname}:{port}").geturl()
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items):
        value[key] = _with_port(item, ports)
    return value


def _move_neighbours(node: Any, ports: Ports) -> None:
    if isinstance(node, dict) and node.get("ports") == [80]:
        node["ports"] = [ports.neighbour]
    for item in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _move_neighbours(item, ports)
