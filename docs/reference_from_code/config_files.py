"""The built-in configs and profiles, as they are."""

from pathlib import Path

from rosa_ray.config import PROFILES
from workloads.command_line import CONFIGS

_INTRODUCTION = """# Built-in configs and profiles

A verb takes the path of a YAML file, or the name of one of these configs: `rosa demo simulator`.
A profile is a layer of settings below your file: write `profile: paper` in it, or give `--set profile=paper`.
Every setting that a file leaves out has the [default](settings.md) of the code. `rosa config FILE` prints them all.
"""


def page() -> str:
    """The page as Markdown."""
    lines = [_INTRODUCTION, "## Configs", "", *_files(CONFIGS), "## Profiles", "", *_files(PROFILES)]
    return "\n".join(lines)


def _files(directory: Path) -> list[str]:
    return [
        line
        for path in sorted(directory.glob("*.yaml"))
        for line in (f"### {path.stem}", "", "```yaml", path.read_text(encoding="utf-8").rstrip(), "```", "")
    ]
