"""``orchestrate images``."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli.app import App, Command, pass_app
from orchestrator.cli.terminal import bold, dim, say, show
from orchestrator.errors import MachineError, UsageError
from orchestrator.images import build as engine
from orchestrator.images.ledger import Ledger
from orchestrator.images.recipes import Recipe, default_folder, named, recipes
from orchestrator.images.registry import login
from orchestrator.results.export import to_json

_FOLDER = click.option(
    "--folder", type=click.Path(path_type=Path), help="Folder of the recipes.  [default: containers]"
)
_GPU = click.option("--gpu", is_flag=True, help="The variant for NVIDIA GPUs.")
_NAMES = click.argument("frameworks", nargs=-1)


@click.group("images")
def command() -> None:
    """Build, push and list the images of the frameworks."""


@command.command("build", cls=Command)
@_NAMES
@_FOLDER
@_GPU
@click.option("--base", help="Image to build upon.  [default: each recipe's own]")
@click.option("--build-arg", "arguments", multiple=True, metavar="NAME=VALUE", help="For the Dockerfile; no secrets.")
@click.option("--network", help="The engine's network of the build's steps, such as host.")
@click.option("-v", "--verbose", is_flag=True, help="Show what the engine prints.")
@pass_app
def build(
    app: App,
    frameworks: tuple[str, ...],
    folder: Path | None,
    gpu: bool,
    base: str | None,
    arguments: tuple[str, ...],
    network: str | None,
    verbose: bool,
) -> int:
    """Build the images of FRAMEWORKS, or of all that are known to work; prints each with its id."""
    variant = "gpu" if gpu else "cpu"
    chosen = _chosen(folder, frameworks, variant)
    given = dict(_argument(text) for text in arguments)
    client, ledger = engine.engine(), _ledger(app)
    for recipe in chosen:
        say(f"building {bold(recipe.image(variant))} on {base or recipe.base}")
        made = engine.build(
            client,
            recipe,
            variant,
            base=base,
            arguments=given,
            network=network,
            say=(lambda line: say(dim(line))) if verbose else (lambda line: None),
        )
        ledger.built(recipe.image(variant), made.id, base or recipe.base)
        show(f"{recipe.image(variant)}  {made.id}")
    return 0


@command.command("push", cls=Command)
@_NAMES
@_FOLDER
@_GPU
@click.option("--to", "registry", required=True, metavar="REGISTRY", help="Host of the registry, and a path below it.")
@pass_app
def push(app: App, frameworks: tuple[str, ...], folder: Path | None, gpu: bool, registry: str) -> int:
    """Push built images to REGISTRY; prints the name that pins each for ever.

    ECR (ACCOUNT.dkr.ecr.REGION.amazonaws.com) and Azure's (NAME.azurecr.io) are logged in to by the cloud's own
    credentials, all others by what 'docker login' has stored.
    """
    if not frameworks:
        raise UsageError(
            "Nothing is named to push.", remedy="Name frameworks: orchestrate images push tensorflow --to …"
        )
    variant = "gpu" if gpu else "cpu"
    client, ledger = engine.engine(), _ledger(app)
    for recipe in _chosen(folder, frameworks, variant):
        image = recipe.image(variant)
        there = engine.look(client, image)
        if there is None:
            raise MachineError(
                f"There is no image {image} here.", remedy=f"Build it first: orchestrate images build {recipe.name}."
            )
        target = f"{registry.rstrip('/')}/{image}"
        say(f"pushing {bold(target)}")
        digest = engine.push(client, image, target, login(registry.rstrip("/"), image.partition(":")[0]))
        ledger.pushed(image, there.id, target, digest)
        show(f"{target.rpartition(':')[0]}@{digest}")
    return 0


@command.command("list", cls=Command)
@_FOLDER
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object an image.")
@pass_app
def listed(app: App, folder: Path | None, as_json: bool) -> int:
    """List the recipes, what is built of them here, and where it was pushed."""
    try:
        client = engine.engine()
    except MachineError as missing:
        client = None
        say(dim(str(missing)))
    known = _ledger(app).read()
    for recipe in recipes(folder or default_folder()):
        for variant in recipe.variants:
            image = recipe.image(variant)
            there = engine.look(client, image) if client is not None else None
            pushed = known.get(image, {}).get("pushed", {})
            if as_json:
                row = {
                    "image": image,
                    "framework": recipe.name,
                    "variant": variant,
                    "untested": recipe.untested or None,
                }
                built = {"id": there.id, "size": there.size} if there else {"id": None, "size": None}
                show(to_json({**row, **built, "pushed": pushed}))
                continue
            size = f"{there.size / 1e6:,.0f} MB  {there.id[7:19]}" if there else dim("not built here")
            show(f"{bold(f'{image:<34}')}  {size}" + (f"  {dim(recipe.untested)}" if recipe.untested else ""))
            for target, digest in pushed.items():
                show(f"    {target.rpartition(':')[0]}@{digest}")
    return 0


def _chosen(folder: Path | None, frameworks: tuple[str, ...], variant: str) -> list[Recipe]:
    chosen = named(recipes(folder or default_folder()), frameworks)
    if not frameworks:
        return [recipe for recipe in chosen if variant in recipe.variants]
    for recipe in chosen:
        recipe.require(variant)
    return chosen


def _argument(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UsageError(f"'{text}' is no build argument.", remedy="Write NAME=VALUE.")
    return name, value


def _ledger(app: App) -> Ledger:
    return Ledger(app.home.path / "images.json")
