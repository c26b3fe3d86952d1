"""``python -m benchmarks [NAME...]``: run them all, or those named; exit code 1 where a bound is broken.

``--peers`` also installs and measures other tools (minutes, and gigabytes from the package index).
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys

NAMES = [
    "engine",
    "startup",
    "planning",
    "fanout",
    "local_slots",
    "logs",
    "storage_upload",
    "azure",
    "aws",
    "containers",
]
# Minutes to an hour: only where named.
LONG = ["search_quality"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(NAMES)}, {', '.join(LONG)}; default: all but the last")
    parser.add_argument("--peers", action="store_true", help="measure other tools beside ours")
    args = parser.parse_args()
    unknown = sorted(set(args.names) - {*NAMES, *LONG})
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(NAMES + LONG)}")
    os.environ["ORCHESTRATE_BENCHMARK_PEERS"] = "1" if args.peers else ""
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}", flush=True)
    kept = True
    for name in args.names or NAMES:
        for figure in importlib.import_module(f"benchmarks.{name}").run():
            print(figure, flush=True)
            kept = kept and figure.kept
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
