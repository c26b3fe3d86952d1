"""The emulator's process: begins, says where it listens, and ends with everything that it started."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from .account import Account
from .calls import Calls
from .httpserver import HttpServer
from .processes import Agents, LaunchFailed, base_environment
from .server import BatchServer
from .settings import Settings

_log = logging.getLogger(__name__)

# Below this a node's tasks would soon run out of descriptors of connections and files.
_WANTED_FILES = 65536


async def serve(
    settings: Settings,
    name: str,
    announce: Callable[[dict[str, object]], None],
    *,
    lifeline: bool = False,
) -> int:
    """Run an emulator until a signal, or until standard input ends where that is its lifeline.

    Args:
        name: see `procscan.new_name`.
        announce: called once it answers, with endpoint, account and process id.

    Returns:
        The process's exit code.
    """
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    Path(settings.folder).mkdir(parents=True, exist_ok=True)
    _raise_file_limit()
    stopping = asyncio.Event()
    exit_code = 0

    def agent_lost() -> None:
        nonlocal exit_code
        _log.error("the agent that runs the tasks died; the emulator ends")
        exit_code = 1
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stopping.set)
    if lifeline:
        _watch_lifeline(loop, stopping)
    processes = Agents(name, base_environment(settings.environment), agent_lost)
    await processes.start()
    account = Account(settings, name, processes)
    server = HttpServer(BatchServer(account, Calls()).answer)
    try:
        await account.check_isolation()
        port = await server.start(settings.port)
        account.endpoint = f"http://127.0.0.1:{port}"
        announce({"endpoint": account.endpoint, "account": settings.account, "pid": os.getpid()})
        await stopping.wait()
    except (OSError, LaunchFailed) as problem:
        announce({"error": str(problem)})
        exit_code = 1
    finally:
        await server.stop()
        await account.stop()
    # Only after an orderly end: the log of another one is in there.
    if settings.temporary and exit_code == 0:
        shutil.rmtree(settings.folder, ignore_errors=True)
    return exit_code


def _watch_lifeline(loop: asyncio.AbstractEventLoop, stopping: asyncio.Event) -> None:
    """End when standard input ends, which it does when our parent has gone, however it went."""

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        with contextlib.suppress(RuntimeError):  # The loop may have ended meanwhile.
            loop.call_soon_threadsafe(stopping.set)

    # A thread, since standard input may be a file or a terminal that an event loop cannot watch.
    threading.Thread(target=watch, name="lifeline", daemon=True).start()


def _raise_file_limit() -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED_FILES if hard == resource.RLIM_INFINITY else min(_WANTED_FILES, hard)
    if soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def print_announcement(announcement: dict[str, object]) -> None:
    """Write it to standard output as one line of JSON, for the process that waits for it."""
    sys.stdout.write(json.dumps(announcement) + "\n")
    sys.stdout.flush()
