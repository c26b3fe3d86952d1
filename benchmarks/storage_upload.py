"""How long data take to S3, beside ``aws s3 cp``, and what is sent when they are there already.

Both are whole commands, against one moto server on this machine, in turns.  Ours also hashes every file, asks the
store what it has, and checks each part.  The peer is installed and measured with ``--peers`` only.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
from pathlib import Path

import boto3

from benchmarks.command import seconds
from benchmarks.peers import interpreter
from benchmarks.report import Figure
from orchestrator.emulators.moto import MotoServer
from orchestrator.storage import inputs
from orchestrator.storage.s3 import S3Store

FILES = 1000
MEGABYTE = 10**6
ROUNDS = 3

UPLOAD = """
import sys
from pathlib import Path
from orchestrator.storage import inputs
from orchestrator.storage.layout import Home
from orchestrator.storage.open import open_store
inputs.upload(open_store("s3://bucket/store", Home(Path("."))), Path(sys.argv[1]))
"""


def make(folder: Path, files: int, size: int) -> None:
    source = random.Random(files)
    folder.mkdir()
    for number in range(files):
        with (folder / f"{number:04d}.bin").open("wb") as file:
            for start in range(0, size, MEGABYTE):
                file.write(source.randbytes(min(MEGABYTE, size - start)))
    os.sync()  # what is written behind our back must not fall into the first measurement


class Server:
    """moto with one empty bucket, which a measured command fills."""

    def __init__(self, moto: MotoServer) -> None:
        self.moto = moto
        self.env = {**os.environ, **moto.environment}
        self.session = boto3.Session("testing", "testing", region_name="us-east-1")

    def empty(self) -> None:
        self.moto.reset()
        self.session.client("s3", endpoint_url=self.moto.endpoint).create_bucket(Bucket="bucket")

    def measured(self, command: list[str], objects: int) -> float:
        self.empty()
        took = seconds(command, self.env)
        client = self.session.client("s3", endpoint_url=self.moto.endpoint)
        pages = client.get_paginator("list_objects_v2").paginate(Bucket="bucket")
        found = sum(len(page.get("Contents", ())) for page in pages)
        if found != objects:
            raise RuntimeError(f"{command[:3]} made {found} objects, not {objects}")
        return took


def compare(server: Server, name: str, data: Path, files: int, peer: str | None) -> list[Figure]:
    ours = [sys.executable, "-c", UPLOAD, str(data)]
    measured = [lambda: server.measured(ours, files + 1)]
    if peer:
        theirs = [peer, "-m", "awscli", "s3", "cp", "--recursive", "--quiet", str(data), "s3://bucket/copy"]
        measured.append(lambda: server.measured(theirs, files))
    # The best of each: server and client fill the whole machine, so all else that runs only adds.
    times = [[measure() for measure in measured] for _ in range(ROUNDS if peer else 1)]
    took, *peers = (min(taken) for taken in zip(*times, strict=True))
    figures = [Figure(f"{name} to S3", took, "s")]
    if peers:
        note = f"({took:.1f} s and {peers[0]:.1f} s)"
        figures.append(Figure(f"{name} to S3 against aws s3 cp", took / peers[0], "times its wall time", 1.0, note))
    return figures


def sent_again(server: Server, name: str, data: Path) -> Figure:
    store = S3Store("bucket", "store", session=server.session, endpoint=server.moto.endpoint)
    server.empty()
    inputs.upload(store, data)
    return Figure(f"{name} to S3, the second time", inputs.upload(store, data).bytes_sent, "bytes sent", most=0)


def run(scale: int = 1) -> list[Figure]:
    """A gigabyte, divided by ``scale``, in many files and in one."""
    peer = interpreter("awscli") if os.environ.get("ORCHESTRATE_BENCHMARK_PEERS") else None
    files, size = FILES // scale, FILES // scale * MEGABYTE
    figures = []
    with tempfile.TemporaryDirectory() as name, MotoServer() as moto:
        server = Server(moto)
        for count in (files, 1):
            data = Path(name, str(count))
            make(data, count, size // count)
            what = f"{size // MEGABYTE} MB in {count} file{'s' if count > 1 else ''}"
            figures += compare(server, what, data, count, peer)
            figures.append(sent_again(server, what, data))
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.storage_upload", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the data")
    parser.add_argument("--peers", action="store_true", help="install and measure aws s3 cp beside ours")
    args = parser.parse_args()
    os.environ["ORCHESTRATE_BENCHMARK_PEERS"] = "1" if args.peers else ""
    figures = run(10 if args.quick else 1)
    for figure in figures:
        print(figure)
    return 0 if all(figure.kept for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
