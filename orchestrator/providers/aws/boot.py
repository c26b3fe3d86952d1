"""The first words of a task's container: it needs python3 alone, and fetches the runner with the task's own role.

They stand in the job definition's command.  The script stays the container's first process while the runner works:
it hands SIGTERM on, and it is the dead man's switch: after the lease no task begins and none goes on.
"""

from __future__ import annotations

import functools
import inspect

from orchestrator.runner.runner import S3Calls

# Arguments: store, key of the runner, key of the job, lease (Unix seconds), grace in seconds, key of the batch.
_MAIN = """
import os, shutil, signal, subprocess, sys, tempfile, time, urllib.request

store, runner, job, lease, grace, batch = sys.argv[1:7]
left = float(lease) - time.time()
if left <= 0:
    sys.exit("orchestrate: the lease of this run is over")
index = os.environ.get("AWS_BATCH_JOB_ARRAY_INDEX") or os.environ.get("AWS_BATCH_JOB_ID", "").partition(":")[2] or "0"
os.chdir(tempfile.mkdtemp(prefix="orchestrate-"))
calls, pause = S3Calls(store, os.environ), 0.5
while True:
    try:
        with urllib.request.urlopen(calls.request("GET", runner), timeout=60) as answer:
            open("runner.py", "wb").write(answer.read())
        break
    except OSError as error:
        if getattr(error, "code", 500) in (403, 404) or pause > 100:
            sys.exit("orchestrate: the runner cannot be fetched: %s: %s" % (runner, error))
    time.sleep(pause)
    pause *= 2
words = ["--transport", "s3", "--store", store, "--job", job, "--tasks", batch, "--index", index]
told = []
signal.signal(signal.SIGTERM, lambda *_: (told.append(1), [p.terminate() for p in started]))
started = []
started.append(subprocess.Popen([sys.executable, "runner.py", *words]))
if told:
    started[0].terminate()
try:
    code = started[0].wait(left)
except subprocess.TimeoutExpired:
    started[0].terminate()
    try:
        code = started[0].wait(float(grace) + 60)
    except subprocess.TimeoutExpired:
        started[0].kill()
        code = 3
sys.exit(code if code >= 0 else 128 - code)
"""


@functools.cache
def script() -> str:
    """The text for ``python3 -c``."""
    return inspect.getsource(S3Calls) + _MAIN
