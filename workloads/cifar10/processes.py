"""One training in several processes: started together, and ended together when one of them fails."""

import multiprocessing
import multiprocessing.connection
import socket
from collections.abc import Callable


def run_in(count: int, work: Callable[..., None], *arguments: object) -> None:
    """Call `work(rank, count, *arguments)` in `count` processes and wait; in this one where `count` is 1.

    Raises SystemExit with the exit code of the first process that fails, after stopping the others, which would wait
    for it for ever.
    """
    if count == 1:
        work(0, 1, *arguments)
        return
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=work, args=(rank, count, *arguments), daemon=True) for rank in range(count)]
    for process in processes:
        process.start()
    waiting = {process.sentinel: process for process in processes}
    while waiting:
        for sentinel in multiprocessing.connection.wait(list(waiting)):
            ended = waiting.pop(sentinel)
            ended.join()
            if ended.exitcode:
                for process in processes:
                    process.kill()
                raise SystemExit(max(ended.exitcode, 1))


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody uses now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports
