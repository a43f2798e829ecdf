"""What the README promises is there: settings, files, commands, targets."""

import re
from pathlib import Path

from django.core.management import get_commands

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
#: Set by the product or its tests, not by people.
INTERNAL = "WATCHKEEPER_"


def documented_settings() -> set[str]:
    """Return the names in the first column of the table of settings."""
    section = README.partition("## Settings")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return set(re.findall(r"`([A-Z_]+)`", " ".join(rows)))


def test_readme_names_every_setting_and_no_other() -> None:
    example = re.findall(r"^#?([A-Z][A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert documented_settings() == {name for name in example if not name.startswith(INTERNAL)}


def test_readme_and_documents_link_to_files_that_exist() -> None:
    for document in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        links = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text())
        missing = [link for link in links if not (document.parent / link).exists()]
        assert missing == [], document.name


def test_readme_names_commands_and_targets_that_exist() -> None:
    commands = set(re.findall(r"manage\.py ([a-z-]+)", README)) - {"up"}
    assert commands <= set(get_commands())
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^make ([a-z]+)", README, re.MULTILINE)) <= targets
