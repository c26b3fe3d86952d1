"""Large blobs, sent in blocks that an interrupted upload need not repeat.

A block's name holds the digest of its bytes.  So the service's own list of the blocks that arrived, kept for a week,
tells what is missing, whoever sent the rest.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.storage.blob import BlobBlock, BlobClient

from orchestrator.storage.blob_errors import code_of
from orchestrator.storage.transfer import Parallel, part_size

MOST_BLOCKS = 50_000
"""Of one blob ("Scalability and performance targets for Blob storage")."""

_TRIES = 3


def send(client: BlobClient, path: Path, parallel: Parallel) -> None:
    """Upload a file in blocks.  Blocks of the same bytes that are there, unfinished or not, are not sent again."""
    for attempt in range(_TRIES):
        try:
            _send(client, path, parallel)
            return
        except HttpResponseError as error:
            # Whoever finishes a blob first makes the service forget the blocks that others have sent for it.
            if code_of(error) != "InvalidBlockList" or attempt == _TRIES - 1:
                raise


def _send(client: BlobClient, path: Path, parallel: Parallel) -> None:
    size = path.stat().st_size
    step = part_size(size, MOST_BLOCKS)
    present = _present(client)

    def send_block(number: int) -> str:
        with path.open("rb", buffering=0) as file:
            file.seek(number * step)
            data = file.read(step)
        name = f"{number:05d}-{hashlib.sha256(data).hexdigest()[:40]}"
        if present.get(name) != len(data):
            client.stage_block(name, data, length=len(data), validate_content=True)
        return name

    names = parallel.map(send_block, range(math.ceil(size / step)))
    client.commit_block_list([BlobBlock(name) for name in names])


def _present(client: BlobClient) -> dict[str, int]:
    try:
        committed, uncommitted = client.get_block_list("all")
    except ResourceNotFoundError:
        return {}
    return {block.id: block.size for block in (*committed, *uncommitted)}
