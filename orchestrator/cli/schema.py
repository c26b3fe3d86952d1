"""``orchestrate schema``."""

from __future__ import annotations

import json

import click

from orchestrator.cli.app import Command
from orchestrator.cli.terminal import show


@click.command("schema", cls=Command)
def command() -> int:
    """Print the JSON Schema of sweep.yaml, with which editors complete and check it.

    Save it as sweep.schema.json and begin a spec with this line:

        # yaml-language-server: $schema=sweep.schema.json
    """
    from orchestrator.spec.schema import json_schema

    show(json.dumps(json_schema(), indent=2))
    return 0
