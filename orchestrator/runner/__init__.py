"""The program beside the user's code.

:mod:`orchestrator.runner.runner` is one file of the standard library alone, Python 3.6 or newer, that works when
it is copied anywhere.  Local slots import it; containers execute it.

**Job document** (JSON, one a run, the same for all its tasks)::

    {"version": 1, "run": ID,
     "command": {"shell": TEMPLATE} or {"argv": [TEMPLATE, ...]},
     "env": {NAME: TEMPLATE}, "secrets": [NAME, ...],
     "inputs": [{"from": TEMPLATE, "to": TEMPLATE}], "outputs": [TEMPLATE, ...],
     "metrics": {NAME: REGEX}, "metric": NAME or null, "checkpoint": PATH or null,
     "timeout": SECONDS or null, "grace": SECONDS, "memory": BYTES or null,
     "code": {"digest": SHA256} or null,
     "requirements": {"packages": TEXT, "constraints": TEXT, "build_constraints": TEXT, "python": TEXT} or null}

``requirements`` are texts of files for pip: a provider that runs no containers makes a virtual environment of them
by the interpreter ``python`` ("" is its own) before the first task starts; the runner does not look at it.

A TEMPLATE is a list of parts: a string stands for itself, ``{"name": NAME}`` for a parameter or for one of ``run``,
``trial``, ``attempt``.  In a shell command each value is quoted as one word; everywhere else it is inserted as text.
Strings are inserted as they are, other values as their JSON text.

An input is taken from a path of this machine, a URL, or ``blobs/aa/DIGEST``: the key of a list of stored files
(:mod:`orchestrator.storage.inputs`).  ``blobs/aa/DIGEST/REST`` is the file REST of these, or all that lie below it.

**Task** (JSON): ``{"name", "trial", "attempt", "params"}``, and ``"parent"`` where the trial starts from the checkpoint
that another one left, and ``"brought"``, ``{URL: PATH}``, where a provider has put inputs on this machine before.

A shell command goes to ``/bin/sh``; one that uses nothing of a shell is executed directly, as make does.

**What the program finds.**  Its working directory is a clean tree of the code bundle and the inputs.  Variables:
``ORCHESTRATE_RUN``, ``ORCHESTRATE_TRIAL``, ``ORCHESTRATE_ATTEMPT``, ``ORCHESTRATE_PARAMS`` (path of a JSON file of all
parameters), ``PARAM_<name>`` each, ``ORCHESTRATE_METRICS`` (path of a file to which JSON lines such as
``{"step": 3, "loss": 0.1}`` may be appended; that is what ``report()`` does), ``ORCHESTRATE_CHECKPOINT`` where the spec
names a checkpoint folder (kept from attempt to attempt; what the code has in a folder of that name is where the first
attempt starts).  ``PYTHONUNBUFFERED`` is set where it is not, so that the last words of a killed program are kept.
Inputs are links to what they name, and to be read only.

**What it leaves** in the attempt's folder: ``params.json``, ``stdout.txt``, ``stderr.txt`` (the bytes as printed),
``metrics.jsonl`` (one ``{"at", "step", NAME: VALUE...}`` a line), ``outputs/`` and, written last and at once,
``result.json``::

    {"version": 1, "run", "trial", "attempt", "name", "cause": CAUSE or null, "reason": SENTENCE,
     "exit_code": INT or null, "signal": INT or null, "started", "finished", "seconds",
     "metrics": {NAME: {"last", "min", "max", "step", "count"}}, "outputs": [PATH...], "peak_memory": BYTES or null}

A failed attempt has ``stderr_tail`` too, the last of what the program said.  Where there is something to tell, there
are ``missing_outputs`` (patterns that nothing matched, of a successful attempt), ``skipped_outputs`` (what matched and
was not kept, with the reason: links that leave the tree, pipes) and ``notes`` (sentences).  Values of secrets are
masked in all of these.  A limit of memory is one of what all processes of the attempt have in use together.

CAUSE is one of :class:`orchestrator.providers.base.Cause`.  NaN and infinities are written as the strings ``"nan"``,
``"inf"`` and ``"-inf"``, so that every file is strict JSON.
"""
