"""Behaviours that every provider must have, as a class of tests.

A provider proves itself by a subclass, collected by pytest, whose fixture ``bench`` says how to reach it::

    class TestMyProvider(ProviderSuite):
        @pytest.fixture(scope="class")
        @classmethod
        def bench(cls) -> Iterator[Bench]:
            with service() as started:
                yield Bench(connect=lambda run: MyCompute(started, run), store=MyStore(started))

Most tests ask what became of tasks that ran together, once for the class, in one pool: the ``story``.  The program of
each is a script of ``/bin/sh``, given as a parameter.
"""

from __future__ import annotations

import json
import math
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import InvalidRequest, NotFound
from orchestrator.providers.base import (
    Cause,
    Changes,
    Compute,
    Ended,
    Machine,
    MetricSeen,
    Owned,
    Phase,
    PoolRequest,
    PoolState,
    PoolStatus,
    Task,
    TaskChanged,
)
from orchestrator.storage import bundle, inputs
from orchestrator.storage.base import ObjectStore
from orchestrator.storage.layout import RunKeys

SECRET = "only-the-program-may-see-" + secrets.token_hex(8)
ODD_VALUE = 'it\'s "quoted", $(touch pwned) `id` \\ ;&|<>*?\n\tünï 日本 🚀 --flag'
BINARY = bytes(range(256))
LONG_OUTPUT = 300_000
LEASE = 1800.0

_RANK = {Phase.QUEUED: 0, Phase.RUNNING: 1, Phase.ENDED: 2}


@dataclass(frozen=True, slots=True)
class Bench:
    """How a suite reaches a provider.

    ``connect(run)`` gives a new connection each time; ``store`` is where the tasks' files are.  ``prepare(digest)`` is
    called with the code bundle's digest before the first pool, for providers that unpack it beforehand.
    """

    connect: Callable[[str], Compute]
    store: ObjectStore
    prepare: Callable[[str], object] = lambda digest: None


def task_name(trial: int, attempt: int = 1) -> str:
    return f"t{trial:06d}-a{attempt}"


def job(run: str, **changes: Any) -> dict[str, Any]:
    """A job document whose program is the script in the parameter ``script``; ``$1`` is the parameter ``value``."""
    return {
        "version": 1,
        "run": run,
        "command": {"argv": [["/bin/sh"], ["-c"], [{"name": "script"}], ["sh"], [{"name": "value"}]]},
        "env": {},
        "secrets": [],
        "inputs": [],
        "outputs": [],
        "metrics": {},
        "metric": None,
        "checkpoint": None,
        "timeout": None,
        "grace": 1.0,
        "memory": None,
        "code": None,
        **changes,
    }


class Session:
    """A run's pool at the provider, and all that was heard of its tasks."""

    def __init__(self, compute: Compute, store: ObjectStore, run: str, patience: float) -> None:
        self.compute, self.store, self.run, self.patience = compute, store, run, patience
        self.keys = RunKeys(run)
        self.cursor: str | None = None
        self.looks: list[Changes] = []
        self.tasks: list[TaskChanged] = []
        self.metrics: list[MetricSeen] = []
        self.last: dict[str, TaskChanged] = {}

    def submit(self, *tasks: Task) -> list[str]:
        return list(self.compute.submit(self.run, tasks))

    def look(self, wait: float = 0.5) -> Changes:
        changes = self.compute.changes(self.run, self.cursor, wait)
        self.cursor = changes.cursor
        self.looks.append(changes)
        for event in changes.events:
            if isinstance(event, MetricSeen):
                self.metrics.append(event)
            else:
                self.tasks.append(event)
                self.last[event.name] = event
        return changes

    def until(self, what: str, done: Callable[[], bool], each: Callable[[], object] = lambda: None) -> None:
        deadline = time.monotonic() + self.patience
        while True:
            each()
            if done():
                return
            if time.monotonic() > deadline:
                status = self.compute.pool_status(self.run)
                alive = [event for event in self.last.values() if event.phase is not Phase.ENDED]
                pytest.fail(f"not within {self.patience:g} s: {what}; {status}; not ended: {alive}")
            self.look()

    def phase(self, name: str) -> Phase | None:
        return self.last[name].phase if name in self.last else None

    def wait_for(self, phase: Phase, *names: str) -> None:
        self.until(
            f"{', '.join(names)} {phase}",
            lambda: all(_RANK[self.phase(n) or Phase.QUEUED] >= _RANK[phase] for n in names),
        )

    def wait_gone(self) -> PoolStatus:
        deadline = time.monotonic() + self.patience
        while (status := self.compute.pool_status(self.run)).state is not PoolState.GONE:
            assert time.monotonic() < deadline, f"the pool is not gone: {status}"
            self.compute.delete_pool(self.run)
            time.sleep(0.02)
        return status

    def result(self, trial: int, attempt: int = 1) -> Mapping[str, Any] | None:
        """The runner's word, as the engine gets it: with the event, else from the store."""
        event = self.last.get(task_name(trial, attempt))
        if event is not None and event.result is not None:
            return event.result
        try:
            found: Mapping[str, Any] = json.loads(self.store.get(self.keys.result(trial, attempt)))
        except NotFound:
            return None
        return found

    def ended(self, trial: int, attempt: int = 1) -> Ended:
        """How it ended, by the runner's word where there is one, else by the provider's."""
        event = self.last[task_name(trial, attempt)]
        assert event.phase is Phase.ENDED, event
        assert event.ended is not None, "an ended task says how"
        result = self.result(trial, attempt)
        if result is None:
            return event.ended
        cause = Cause(result["cause"]) if result["cause"] is not None else None
        return Ended(
            cause, result["reason"], result["exit_code"], result["signal"], result["started"], result["finished"]
        )

    def log(self, trial: int, stream: str = "stdout", offset: int = 0, size: int = 1 << 20, attempt: int = 1) -> bytes:
        return self.compute.read_log(self.run, task_name(trial, attempt), stream, offset, size)

    def whole_log(self, trial: int, stream: str = "stdout", attempt: int = 1, step: int = 65536) -> bytes:
        found = b""
        while part := self.log(trial, stream, len(found), step, attempt):
            found += part
        return found

    def outputs(self, trial: int, attempt: int = 1) -> dict[str, bytes]:
        root = self.keys.outputs(trial, attempt)
        return {item.key[len(root) + 1 :]: self.store.get(item.key) for item in self.store.list(root)}


@dataclass(slots=True)
class Story:
    """The tasks that ran together, by the names of their scripts, and what was seen on the way."""

    session: Session
    trials: dict[str, int]
    request: PoolRequest
    acknowledged: list[str]
    live_log: bytes = b""
    live_metrics: list[float] = field(default_factory=list)
    told: bool = False
    listing: Changes | None = None
    again: list[str] = field(default_factory=list)

    def trial(self, script: str) -> int:
        return self.trials[script]

    def ended(self, script: str, attempt: int = 1) -> Ended:
        return self.session.ended(self.trials[script], attempt)

    def stdout(self, script: str, attempt: int = 1) -> str:
        return self.session.whole_log(self.trials[script], attempt=attempt).decode()

    def result(self, script: str, attempt: int = 1) -> Mapping[str, Any]:
        result = self.session.result(self.trials[script], attempt)
        assert result is not None
        return result


SCRIPTS: dict[str, str] = {
    "success": "exit 0",
    "exit code": "exit 7",
    "signal": "kill -9 $$",
    "no such command": "exec /no/such/program",
    "streams": "printf out; printf err >&2",
    "binary": "cat binary.bin; cat binary.bin >&2",
    "long output": f"head -c {LONG_OUTPUT} /dev/zero | tr '\\0' x; printf end",
    "silent": ":",
    "odd value": 'printf %s "$1"',
    "typed parameters": 'printf "%s|%s|%s|%s" "$PARAM_number" "$PARAM_truth" "$PARAM_nothing" "$PARAM_list"',
    "parameter file": 'cat "$ORCHESTRATE_PARAMS"',
    "names": 'printf "%s %s %s" "$ORCHESTRATE_RUN" "$ORCHESTRATE_TRIAL" "$ORCHESTRATE_ATTEMPT"',
    "job environment": 'printf "%s|%s" "$FIXED" "$RENDERED"',
    "secret": '[ "$TOKEN" = "$1" ] && printf "%s" "${#TOKEN}"',
    "spilt secret": 'printf "%s" "$TOKEN"; printf "%s" "$TOKEN" >&2',
    "code": "cat code/hello.txt; ./code/run.sh",
    "own folder": "ls mark 2>/dev/null; touch mark; ls",
    "own folder too": "ls mark 2>/dev/null; touch mark; ls",
    "input": "cat data/a.txt data/deep/b.txt one.txt",
    "outputs": 'mkdir -p out/deep; printf 1 > out/a; printf 2 > "out/deep/b c é"; printf 3 > kept.txt; printf 4 > not',
    "outputs on failure": "mkdir out; printf half > out/a; exit 5",
    "reported": '{ printf \'{"step": 1, "loss": 0.5}\\n{"step": 2, "loss": 0.25}\\n\'; } >> "$ORCHESTRATE_METRICS"',
    "printed": "echo epoch 1 acc=0.5; echo epoch 2 acc=0.75; echo other",
    "not finite": "printf '{\"loss\": NaN}\\n{\"gain\": Infinity}\\n{\"drop\": -Infinity}\\n' "
    '>> "$ORCHESTRATE_METRICS"',
    "leftover": "sleep 300 & exit 0",
    "checkpoint": 'cat "$ORCHESTRATE_CHECKPOINT/step" 2>/dev/null; printf $ORCHESTRATE_ATTEMPT > '
    '"$ORCHESTRATE_CHECKPOINT/step"; [ "$ORCHESTRATE_ATTEMPT" = 2 ]',
    "live": "trap 'echo last; exit 0' TERM; echo first; for i in 1 2 3; do "
    "printf '{\"step\": %s, \"loss\": %s}\\n' $i 0.$i >> \"$ORCHESTRATE_METRICS\"; sleep 0.2; done; "
    "while :; do sleep 0.1; done",
}  # fmt: skip


# A trial that starts from the checkpoint that the script "checkpoint" leaves.  Its own is of use to its second attempt.
CHILD = len(SCRIPTS)
CHILD_SCRIPT = (
    'cat "$ORCHESTRATE_CHECKPOINT/step"; printf "and $ORCHESTRATE_ATTEMPT" >> "$ORCHESTRATE_CHECKPOINT/step"; '
    '[ "$ORCHESTRATE_ATTEMPT" = 2 ]'
)


class ProviderSuite:
    """Subclass it and give a fixture ``bench``."""

    slots = 2
    """How many tasks the pools of the suite run at once."""

    patience = 120.0
    """Seconds within which a task ends, or a pool is gone, before a test gives up: for those that hang alone."""

    machine = Machine()
    image: str | None = None
    """The container image of the pools, for providers that run containers."""
    isolation: str = "process"
    """How the local provider runs tasks: as processes, or each in a container."""

    @pytest.fixture(scope="class")
    @classmethod
    def bench(cls) -> Iterator[Bench] | Bench:
        raise NotImplementedError("a subclass says how to reach the provider")

    # ------------------------------------------------------------------------------------------------ helpers

    @classmethod
    def request(cls, run: str, document: Mapping[str, Any], **changes: Any) -> PoolRequest:
        wanted: dict[str, Any] = {
            "name": run,
            "job": document,
            "machine": cls.machine,
            "slots": cls.slots,
            "max_nodes": 1,
            "lease_until": time.time() + LEASE,
            "idle_timeout": 300.0,
            "image": cls.image,
            "isolation": cls.isolation,
            "labels": {"run": run, "sweep": "conformance"},
        }
        return PoolRequest(**{**wanted, **changes})

    @staticmethod
    def new_run() -> str:
        return f"suite-{secrets.token_hex(4)}"

    @pytest.fixture
    def opened(self, bench: Bench) -> Iterator[Callable[..., Session]]:
        """Makes a pool with a run of its own, and takes it down again; ``opened(slots=1, job={...})``."""
        sessions: list[Session] = []

        def make(*, document: Mapping[str, Any] | None = None, **changes: Any) -> Session:
            run = self.new_run()
            compute = bench.connect(run)
            session = Session(compute, bench.store, run, self.patience)
            sessions.append(session)
            compute.create_pool(self.request(run, job(run, **(document or {})), **changes))
            return session

        yield make
        for session in sessions:
            session.compute.delete_pool(session.run)
            session.wait_gone()
            session.compute.close()

    @staticmethod
    def task(trial: int, script: str, attempt: int = 1, **params: Any) -> Task:
        return Task(task_name(trial, attempt), trial, attempt, {"script": script, "value": "", **params})

    # -------------------------------------------------------------------------------------------- the story

    @pytest.fixture(scope="class")
    @classmethod
    def story(cls, bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
        """Everything in SCRIPTS, run once."""
        folder = tmp_path_factory.mktemp("conformance")
        run = cls.new_run()
        document = cls._document(run, bench, folder)
        request = cls.request(run, document, secrets={"TOKEN": SECRET})
        compute = bench.connect(run)
        session = Session(compute, bench.store, run, cls.patience)
        compute.create_pool(request)
        trials = {script: number for number, script in enumerate(SCRIPTS)}
        story = Story(session, trials, request, [])
        story.acknowledged = session.submit(
            *(cls.task(trials[name], SCRIPTS[name], **cls._params(name)) for name in trials)
        )
        session.until("every task ended", lambda: cls._over(story), lambda: cls._probe(story))
        cls._second_acts(story)
        yield story
        compute.delete_pool(run)
        session.wait_gone()
        compute.close()

    @staticmethod
    def _document(run: str, bench: Bench, folder: Path) -> dict[str, Any]:
        code = folder / "src"
        (code / "code").mkdir(parents=True)
        (code / "code" / "hello.txt").write_text("hello from the bundle\n")
        (code / "code" / "run.sh").write_text("#!/bin/sh\necho and it runs\n")
        (code / "code" / "run.sh").chmod(0o755)
        (code / "binary.bin").write_bytes(BINARY)
        scanned = bundle.scan(code)
        bundle.upload(bench.store, scanned)
        bench.prepare(scanned.digest)
        data = folder / "data"
        (data / "deep").mkdir(parents=True)
        (data / "a.txt").write_text("a")
        (data / "deep" / "b.txt").write_text("b")
        (folder / "one.txt").write_text("c")
        stored = {name: inputs.upload(bench.store, folder / name).key for name in ("data", "one.txt")}
        return job(
            run,
            code={"digest": scanned.digest},
            inputs=[{"from": [key], "to": [name]} for name, key in stored.items()],
            env={"FIXED": ["always $HOME"], "RENDERED": ["trial ", {"name": "trial"}, " ", {"name": "value"}]},
            secrets=["TOKEN"],
            outputs=[["out/"], ["*.txt"]],
            metrics={"acc": "acc=([0-9.]+)"},
            metric="loss",
            checkpoint="ckpt",
            timeout=600.0,
            grace=30.0,
        )

    @staticmethod
    def _params(script: str) -> dict[str, Any]:
        if script in ("odd value", "job environment"):
            return {"value": ODD_VALUE}
        if script == "secret":
            return {"value": SECRET}
        if script == "typed parameters":
            return {"number": 1e-4, "truth": True, "nothing": None, "list": [1, "two"]}
        return {}

    @staticmethod
    def _over(story: Story) -> bool:
        return all(story.session.phase(name) is Phase.ENDED for name in story.acknowledged)

    @staticmethod
    def _probe(story: Story) -> None:
        """What can be seen only while a task runs; it does until all of that has been seen."""
        session, trial = story.session, story.trial("live")
        if session.phase(task_name(trial)) is not Phase.RUNNING:
            return
        if not story.live_log:
            found: list[bytes] = []
            reader = threading.Thread(target=lambda: found.append(session.log(trial)))
            reader.start()
            reader.join()
            story.live_log = found[0]
        story.live_metrics = [m.value for m in session.metrics if m.name == task_name(trial)]
        if story.listing is None:
            session.cursor = None
            story.listing = session.look(0.0)
        if story.live_log and len(set(story.live_metrics)) == 3 and not story.told:
            session.compute.cancel(session.run, [task_name(trial)])
            story.told = True

    @classmethod
    def _second_acts(cls, story: Story) -> None:
        """Everything is submitted again, which changes nothing; the checkpoint's trial gets a second attempt, and then
        a child.
        """
        session, trial = story.session, story.trial("checkpoint")
        again = [cls.task(number, "touch out-again; exit 99") for number in list(story.trials.values())[:5]]
        story.again = session.submit(*again, cls.task(trial, SCRIPTS["checkpoint"], attempt=2))
        session.wait_for(Phase.ENDED, task_name(trial, 2))
        for attempt in (1, 2):
            session.submit(replace(cls.task(CHILD, CHILD_SCRIPT, attempt=attempt), parent=trial))
            session.wait_for(Phase.ENDED, task_name(CHILD, attempt))
        session.look()

    # ------------------------------------------------------------------------------------------- submission

    def test_every_task_is_acknowledged_exactly_once(self, story: Story) -> None:
        assert sorted(story.acknowledged) == sorted(task_name(trial) for trial in story.trials.values())

    def test_a_task_that_is_submitted_again_is_acknowledged_and_not_run_again(self, story: Story) -> None:
        assert story.again == [task_name(trial) for trial in list(story.trials.values())[:5]] + [
            task_name(story.trial("checkpoint"), 2)
        ]
        assert story.ended("success").exit_code == 0
        ends = [e for e in story.session.tasks if e.name == task_name(0) and e.phase is Phase.ENDED]
        assert len({e.ended.finished for e in ends if e.ended is not None}) == 1

    def test_no_tasks_are_no_call_for_anything(self, opened: Callable[..., Session]) -> None:
        assert opened().submit() == []

    def test_tasks_are_taken_from_their_source_as_they_are_needed(self, opened: Callable[..., Session]) -> None:
        session, taken = opened(), []

        def source() -> Iterator[Task]:
            for trial in range(5000):
                taken.append(trial)
                yield self.task(trial, "exec sleep 1000")

        acknowledging = session.compute.submit(session.run, source())
        first = next(iter(acknowledging))
        assert first == task_name(0)
        assert len(taken) < 5000
        getattr(acknowledging, "close", lambda: None)()

    # --------------------------------------------------------------------------------------------- endings

    def test_a_program_that_ends_well_has_succeeded(self, story: Story) -> None:
        ended = story.ended("success")
        assert (ended.cause, ended.exit_code, ended.signal) == (None, 0, None)

    def test_an_exit_code_is_told(self, story: Story) -> None:
        ended = story.ended("exit code")
        assert (ended.cause, ended.exit_code) == (Cause.EXIT_CODE, 7)

    def test_a_signal_is_told(self, story: Story) -> None:
        ended = story.ended("signal")
        assert (ended.cause, ended.signal) == (Cause.EXIT_CODE, 9)

    def test_a_command_that_does_not_exist_is_no_matter_for_a_retry(self, story: Story) -> None:
        ended = story.ended("no such command")
        assert ended.cause is Cause.COMMAND
        assert ended.reason

    def test_the_provider_s_own_word_agrees_with_the_runner_s_about_success(self, story: Story) -> None:
        for script, trial in story.trials.items():
            told = story.session.last[task_name(trial)].ended
            assert told is not None
            assert (told.cause is None) == (story.ended(script).cause is None), script

    def test_beginning_and_end_are_told_in_order(self, story: Story) -> None:
        now = time.time()
        for script in story.trials:
            ended = story.ended(script)
            assert ended.started is not None
            assert ended.finished is not None
            assert now - LEASE < ended.started <= ended.finished < now + 60

    def test_what_a_program_leaves_running_does_not_keep_its_task(self, story: Story) -> None:
        ended = story.ended("leftover")
        assert ended.cause is None
        assert (ended.finished or 0) - (ended.started or 0) < 60

    def test_a_time_limit_ends_a_task_with_sigterm_and_tells_it(self, opened: Callable[..., Session]) -> None:
        session = opened(document={"timeout": 2.0, "grace": 30.0, "outputs": [["out"]]})
        session.submit(self.task(0, "trap 'echo told > out; exit 3' TERM; while :; do sleep 0.05; done"))
        session.wait_for(Phase.ENDED, task_name(0))
        assert session.ended(0).cause is Cause.TIMEOUT
        assert session.outputs(0) == {"out": b"told\n"}

    def test_a_result_is_complete_when_its_task_has_ended(self, story: Story) -> None:
        for script, trial in story.trials.items():
            result = story.result(script)
            assert (result["version"], result["run"], result["trial"]) == (1, story.session.run, trial)
            assert (result["attempt"], result["name"]) == (1, task_name(trial))
            json.dumps(result, allow_nan=False)

    # ------------------------------------------------------------------------------------------------- logs

    def test_both_streams_are_kept_apart_and_as_they_were_printed(self, story: Story) -> None:
        trial = story.trial("streams")
        assert story.session.whole_log(trial) == b"out"
        assert story.session.whole_log(trial, "stderr") == b"err"

    def test_output_that_is_no_text_comes_back_byte_for_byte(self, story: Story) -> None:
        trial = story.trial("binary")
        assert story.session.whole_log(trial) == BINARY
        assert story.session.whole_log(trial, "stderr", step=7) == BINARY

    def test_long_output_is_whole(self, story: Story) -> None:
        assert story.session.whole_log(story.trial("long output")) == b"x" * LONG_OUTPUT + b"end"

    def test_a_part_of_a_log_is_read_by_its_place(self, story: Story) -> None:
        trial = story.trial("binary")
        assert story.session.log(trial, offset=10, size=5) == BINARY[10:15]
        assert story.session.log(trial, offset=250, size=100) == BINARY[250:]
        assert story.session.log(trial, offset=0, size=0) == b""

    def test_beyond_its_end_and_of_a_silent_task_a_log_is_empty(self, story: Story) -> None:
        assert story.session.log(story.trial("binary"), offset=256) == b""
        assert story.session.log(story.trial("binary"), offset=10_000) == b""
        assert story.session.log(story.trial("silent")) == b""

    def test_a_log_is_read_while_its_task_runs_and_from_another_thread(self, story: Story) -> None:
        assert story.live_log.startswith(b"first\n")
        assert story.stdout("live") == "first\nlast\n"

    def test_a_task_that_waits_has_an_empty_log(self, opened: Callable[..., Session]) -> None:
        session = opened(slots=1)
        session.submit(self.task(0, "exec sleep 1000"), self.task(1, "echo never"))
        session.wait_for(Phase.RUNNING, task_name(0))
        assert session.log(1) == b""
        assert session.log(1, "stderr") == b""

    # ------------------------------------------------------------------------------- what a program is given

    def test_a_parameter_reaches_the_program_unchanged_whatever_it_holds(self, story: Story) -> None:
        assert story.stdout("odd value") == ODD_VALUE
        assert "pwned" not in "".join(story.session.outputs(story.trial("odd value")))

    def test_parameters_are_variables_too_each_as_its_json_text(self, story: Story) -> None:
        assert story.stdout("typed parameters") == '0.0001|true|null|[1, "two"]'

    def test_all_parameters_are_in_a_file(self, story: Story) -> None:
        params = json.loads(story.stdout("parameter file"))
        assert params == {"script": SCRIPTS["parameter file"], "value": ""}

    def test_a_program_knows_its_run_trial_and_attempt(self, story: Story) -> None:
        trial = story.trial("names")
        assert story.stdout("names") == f"{story.session.run} {trial} 1"

    def test_the_job_s_environment_is_rendered_and_not_expanded(self, story: Story) -> None:
        trial = story.trial("job environment")
        assert story.stdout("job environment") == f"always $HOME|trial {trial} {ODD_VALUE}"

    def test_a_secret_reaches_the_program(self, story: Story) -> None:
        assert (story.ended("secret").cause, story.stdout("secret")) == (None, str(len(SECRET)))

    def test_a_secret_that_a_program_prints_is_blackened(self, story: Story) -> None:
        assert story.stdout("spilt secret") == "***"

    def test_a_secret_is_written_nowhere(self, story: Story) -> None:
        own = f"{story.session.keys.trial(story.trial('secret'))}/"  # its value is a parameter there
        for item in story.session.store.list(story.session.keys.root):
            if not item.key.startswith(own):
                assert SECRET.encode() not in story.session.store.get(item.key), item.key
        assert SECRET not in repr(story.request)

    def test_the_code_is_in_the_working_directory_and_can_be_executed(self, story: Story) -> None:
        assert story.stdout("code") == "hello from the bundle\nand it runs\n"

    def test_inputs_are_where_the_job_says(self, story: Story) -> None:
        assert story.stdout("input") == "abc"

    def test_an_input_whose_path_holds_a_parameter_is_where_the_job_says(
        self, opened: Callable[..., Session], tmp_path: Path
    ) -> None:
        (tmp_path / "texts" / "french").mkdir(parents=True)
        (tmp_path / "texts" / "german.txt").write_text("eins")
        (tmp_path / "texts" / "french" / "one.txt").write_text("un")
        source = [f"{tmp_path}/texts/", {"name": "value"}]
        session = opened(document={"inputs": [{"from": source, "to": ["in"]}]})
        for trial, value in enumerate(("german.txt", "french", "dutch")):
            session.submit(self.task(trial, "if [ -d in ]; then cat in/one.txt; else cat in; fi", value=value))
        session.wait_for(Phase.ENDED, *(task_name(trial) for trial in range(3)))
        assert [session.ended(trial).cause for trial in range(3)] == [None, None, Cause.COMMAND]
        assert [session.log(trial) for trial in range(2)] == [b"eins", b"un"]
        assert "dutch" in session.ended(2).reason

    def test_no_task_finds_what_another_has_left(self, story: Story) -> None:
        for script in ("own folder", "own folder too"):
            assert story.ended(script).cause is None
            assert story.stdout(script).split().count("mark") == 1

    def test_a_checkpoint_lasts_from_one_attempt_to_the_next(self, story: Story) -> None:
        assert story.ended("checkpoint").cause is Cause.EXIT_CODE
        assert story.stdout("checkpoint") == ""
        assert story.ended("checkpoint", attempt=2).cause is None
        assert story.stdout("checkpoint", attempt=2) == "1"

    def test_a_trial_starts_from_the_checkpoint_of_its_parent_and_goes_on_from_its_own(self, story: Story) -> None:
        assert story.session.whole_log(CHILD) == b"2"
        assert story.session.ended(CHILD, 2).cause is None
        assert story.session.whole_log(CHILD, attempt=2) == b"2and 1"

    # --------------------------------------------------------------------------------------- what it leaves

    def test_outputs_are_kept_by_their_patterns_with_their_names(self, story: Story) -> None:
        kept = story.session.outputs(story.trial("outputs"))
        assert kept == {"out/a": b"1", "out/deep/b c é": b"2", "kept.txt": b"3"}
        assert sorted(story.result("outputs")["outputs"]) == sorted(kept)

    def test_outputs_of_a_failure_are_kept_too(self, story: Story) -> None:
        assert story.ended("outputs on failure").exit_code == 5
        assert story.session.outputs(story.trial("outputs on failure")) == {"out/a": b"half"}

    # ---------------------------------------------------------------------------------------------- metrics

    def test_reported_metrics_are_summed_up_in_the_result(self, story: Story) -> None:
        loss = story.result("reported")["metrics"]["loss"]
        assert (loss["last"], loss["min"], loss["max"], loss["step"], loss["count"]) == (0.25, 0.25, 0.5, 2, 2)

    def test_metrics_are_read_from_the_output_by_a_pattern(self, story: Story) -> None:
        acc = story.result("printed")["metrics"]["acc"]
        assert (acc["last"], acc["count"]) == (0.75, 2)

    def test_values_that_are_not_finite_are_strict_json_in_the_result_and_numbers_as_events(self, story: Story) -> None:
        metrics = story.result("not finite")["metrics"]
        assert [metrics[name]["last"] for name in ("loss", "gain", "drop")] == ["nan", "inf", "-inf"]
        seen = {m.metric: m.value for m in story.session.metrics if m.name == task_name(story.trial("not finite"))}
        assert math.isnan(seen["loss"])
        assert (seen["gain"], seen["drop"]) == (math.inf, -math.inf)

    def test_every_reported_value_is_heard_in_the_order_of_its_task(self, story: Story) -> None:
        heard = [(m.step, m.value) for m in story.session.metrics if m.name == task_name(story.trial("reported"))]
        assert list(dict.fromkeys(heard)) == [(1, 0.5), (2, 0.25)]

    def test_metrics_are_heard_while_their_task_runs(self, story: Story) -> None:
        assert list(dict.fromkeys(story.live_metrics)) == [0.1, 0.2, 0.3]

    # ----------------------------------------------------------------------------------------------- events

    def test_an_ended_task_is_never_said_to_run(self, story: Story) -> None:
        reached: dict[str, int] = {}
        for event in story.session.tasks:
            if reached.get(event.name) == _RANK[Phase.ENDED]:
                assert event.phase is Phase.ENDED, event
            reached[event.name] = max(reached.get(event.name, 0), _RANK[event.phase])

    def test_how_a_task_ended_is_said_exactly_when_it_has(self, story: Story) -> None:
        assert all((event.ended is not None) == (event.phase is Phase.ENDED) for event in story.session.tasks)

    def test_a_task_that_runs_for_a_while_is_seen_running(self, story: Story) -> None:
        phases = [e.phase for e in story.session.tasks if e.name == task_name(story.trial("live"))]
        assert Phase.RUNNING in phases

    def test_a_listing_without_a_cursor_names_every_task(self, story: Story) -> None:
        listing = story.session.compute.changes(story.session.run, None, 0.0)
        named = {event.name: event.phase for event in listing.events if isinstance(event, TaskChanged)}
        assert listing.complete
        assert set(named) == set(story.session.last)
        assert set(named.values()) == {Phase.ENDED}

    def test_a_listing_in_the_middle_names_what_waits_and_what_runs_too(self, story: Story) -> None:
        assert story.listing is not None
        assert story.listing.complete
        named = {event.name for event in story.listing.events if isinstance(event, TaskChanged)}
        assert named == set(story.acknowledged)

    def test_only_the_first_answer_is_complete_and_nothing_is_told_when_nothing_changes(self, story: Story) -> None:
        assert story.session.looks[0].complete
        quiet = story.session.compute.changes(story.session.run, story.session.cursor, 0.0)
        assert not quiet.complete
        assert [event for event in quiet.events if isinstance(event, MetricSeen)] == []

    def test_waiting_for_a_change_ends_when_there_is_one(self, opened: Callable[..., Session]) -> None:
        session = opened()
        session.look()
        session.submit(self.task(0, "exit 0"))
        session.until("the task ended", lambda: session.phase(task_name(0)) is Phase.ENDED)

    def test_no_more_tasks_run_at_once_than_there_are_slots(self, story: Story) -> None:
        edges: list[tuple[float, int]] = []
        for script in story.trials:
            result = story.result(script)
            edges += [(result["started"], 1), (result["finished"], -1)]
        running = most = 0
        for _, change in sorted(edges):
            running += change
            most = max(most, running)
        assert 1 <= most <= self.slots

    # ------------------------------------------------------------------------------------------------ order

    def test_a_task_begins_when_the_one_that_it_names_has_ended_well(
        self, bench: Bench, opened: Callable[..., Session]
    ) -> None:
        asked = bench.connect(self.new_run())
        keeps_order = asked.capabilities.dependencies
        asked.close()
        if not keeps_order:
            pytest.skip("this provider begins no task after another, as its capabilities say")
        session = opened(stages=2, document={"outputs": [["out"]]})

        def after(trial: int, earlier: int) -> Task:
            return replace(self.task(trial, "touch out"), after=task_name(earlier))

        session.submit(after(1, 0), after(3, 2), self.task(0, "sleep 3"), self.task(2, "exit 4"))
        session.wait_for(Phase.ENDED, task_name(0), task_name(1), task_name(2))
        finished, started = session.ended(0).finished, session.ended(1).started
        assert finished is not None
        assert started is not None
        assert started > finished - 1.0, "the clocks of two nodes may differ a little"
        session.submit(after(4, 0))
        session.wait_for(Phase.ENDED, task_name(4))
        assert session.ended(4).cause is None, "that one had ended when this was submitted"
        assert session.phase(task_name(3)) in (None, Phase.QUEUED), "that one has failed"
        session.compute.cancel(session.run, [task_name(3)])
        session.wait_for(Phase.ENDED, task_name(3))
        assert session.ended(3).cause is Cause.CANCELLED
        assert session.outputs(3) == {}

    # --------------------------------------------------------------------------------------------- stopping

    def test_a_cancelled_task_is_told_first_and_may_leave_something(self, opened: Callable[..., Session]) -> None:
        session = opened(document={"outputs": [["out"]], "grace": 10.0})
        script = "trap 'echo told > out; exit 0' TERM; echo up; while :; do sleep 0.05; done"
        session.submit(self.task(0, script))
        session.wait_for(Phase.RUNNING, task_name(0))
        session.until("the program is up", lambda: b"up" in session.log(0))
        session.compute.cancel(session.run, [task_name(0)])
        session.compute.cancel(session.run, [task_name(0)])
        session.wait_for(Phase.ENDED, task_name(0))
        assert session.ended(0).cause is Cause.CANCELLED
        assert session.outputs(0) == {"out": b"told\n"}

    def test_a_cancelled_task_that_does_not_listen_is_killed(self, opened: Callable[..., Session]) -> None:
        session = opened(document={"grace": 0.2})
        session.submit(self.task(0, "trap '' TERM; echo up; while :; do sleep 0.05; done"))
        session.wait_for(Phase.RUNNING, task_name(0))
        session.until("the program is up", lambda: b"up" in session.log(0))
        session.compute.cancel(session.run, [task_name(0)])
        session.wait_for(Phase.ENDED, task_name(0))
        assert session.ended(0).cause is Cause.CANCELLED

    def test_a_task_that_is_cancelled_in_the_queue_never_runs(self, opened: Callable[..., Session]) -> None:
        session = opened(slots=1, document={"outputs": [["out"]]})
        session.submit(self.task(0, "exec sleep 1000"), self.task(1, "touch out"))
        session.wait_for(Phase.RUNNING, task_name(0))
        session.compute.cancel(session.run, [task_name(1)])
        session.look()
        session.compute.cancel(session.run, [task_name(0)])
        session.wait_for(Phase.ENDED, task_name(0), task_name(1))
        assert session.ended(1).cause is Cause.CANCELLED
        assert session.outputs(1) == {}

    def test_unknown_and_ended_tasks_are_cancelled_without_a_word(self, story: Story) -> None:
        story.session.compute.cancel(story.session.run, [task_name(999_999), task_name(0)])
        story.session.compute.cancel(story.session.run, [])
        assert story.ended("success").cause is None

    # ------------------------------------------------------------------------------------------------ pools

    def test_a_pool_that_is_created_again_is_taken_over_with_its_tasks(self, bench: Bench) -> None:
        run = self.new_run()
        compute = bench.connect(run)
        session = Session(compute, bench.store, run, self.patience)
        request = self.request(run, job(run))
        compute.create_pool(request)
        session.submit(self.task(0, "exit 4"))
        compute.create_pool(request)
        session.wait_for(Phase.ENDED, task_name(0))
        assert session.ended(0).exit_code == 4
        compute.delete_pool(run)
        session.wait_gone()
        compute.close()

    def test_a_pool_is_ready_and_counts_its_slots(self, story: Story) -> None:
        status = story.session.compute.pool_status(story.session.run)
        assert status.state is PoolState.READY
        assert status.nodes >= 0
        assert status.cost >= 0.0
        assert status.rate >= 0.0

    def test_a_pool_that_nobody_made_is_gone(self, bench: Bench) -> None:
        run = self.new_run()
        compute = bench.connect(run)
        assert compute.pool_status(run).state is PoolState.GONE
        compute.close()

    def test_a_pool_is_deleted_with_what_runs_in_it_and_again_without_harm(
        self, opened: Callable[..., Session]
    ) -> None:
        session = opened()
        session.submit(self.task(0, "exec sleep 1000"), self.task(1, "exec sleep 1000"))
        session.wait_for(Phase.RUNNING, task_name(0))
        session.compute.delete_pool(session.run)
        session.compute.delete_pool(session.run)
        assert session.wait_gone().state is PoolState.GONE
        session.compute.delete_pool(session.run)

    def test_deleting_a_pool_that_nobody_made_is_fine(self, bench: Bench) -> None:
        run = self.new_run()
        compute = bench.connect(run)
        compute.delete_pool(run)
        assert compute.pool_status(run).state is PoolState.GONE
        compute.close()

    def test_without_a_pool_nothing_can_be_submitted_or_heard(self, opened: Callable[..., Session]) -> None:
        session = opened()
        session.compute.delete_pool(session.run)
        session.wait_gone()
        with pytest.raises(NotFound):
            session.submit(self.task(0, "exit 0"))
        with pytest.raises(NotFound):
            session.compute.changes(session.run, None, 0.0)

    def test_in_a_pool_made_anew_nothing_of_the_old_one_runs_and_new_tasks_do(
        self, opened: Callable[..., Session]
    ) -> None:
        session = opened()
        session.submit(self.task(0, "exec sleep 1000"))
        session.wait_for(Phase.RUNNING, task_name(0))
        session.compute.delete_pool(session.run)
        session.wait_gone()
        session.compute.create_pool(self.request(session.run, job(session.run)))
        session.cursor = None
        listing = session.look(0.0)
        assert listing.complete
        assert all(event.phase is Phase.ENDED for event in listing.events if isinstance(event, TaskChanged))
        session.submit(self.task(0, "exit 2", attempt=2))
        session.wait_for(Phase.ENDED, task_name(0, 2))
        assert session.ended(0, 2).exit_code == 2

    def test_what_is_ours_is_found_with_its_run_and_lease_and_can_be_taken_back(
        self, opened: Callable[..., Session]
    ) -> None:
        session = opened()
        compute = session.compute
        if not compute.capabilities.survives_client:
            assert all(isinstance(thing, Owned) for thing in compute.owned())
            return
        ours = [thing for thing in compute.owned() if thing.run == session.run]
        assert ours, "a pool that is rented must be found"
        assert all(thing.lease_until and time.time() < thing.lease_until < time.time() + 2 * LEASE for thing in ours)
        for thing in (*ours, *ours):
            compute.reclaim(thing)
        session.wait_gone()
        assert [thing for thing in compute.owned() if thing.run == session.run] == []

    def test_tasks_go_on_without_the_client_where_the_provider_says_so(self, bench: Bench) -> None:
        run = self.new_run()
        first = bench.connect(run)
        if not first.capabilities.survives_client:
            first.close()
            pytest.skip("this provider's tasks end with the client, as its capabilities say")
        first.create_pool(self.request(run, job(run)))
        assert Session(first, bench.store, run, self.patience).submit(self.task(0, "sleep 0.5; exit 6")) == [
            task_name(0)
        ]
        first.close()
        second = bench.connect(run)
        session = Session(second, bench.store, run, self.patience)
        second.create_pool(self.request(run, job(run)))
        assert session.look().complete
        session.wait_for(Phase.ENDED, task_name(0))
        assert session.ended(0).exit_code == 6
        second.delete_pool(run)
        session.wait_gone()
        second.close()

    # --------------------------------------------------------------------------------------- plans and facts

    def test_an_estimate_makes_nothing_and_counts_slots_and_calls(self, bench: Bench) -> None:
        run = self.new_run()
        compute = bench.connect(run)
        estimate = compute.estimate(self.request(run, job(run), tasks=1000))
        assert estimate.slots >= 1
        assert estimate.api_calls >= 0
        assert estimate.rate >= 0.0
        assert compute.pool_status(run).state is PoolState.GONE
        compute.close()

    def test_what_can_never_run_is_refused_in_the_estimate(self, bench: Bench) -> None:
        run = self.new_run()
        compute = bench.connect(run)
        impossible = Machine(cpus=1, gpus=1, gpu="abacus", strict=True)
        with pytest.raises(InvalidRequest):
            compute.estimate(self.request(run, job(run), machine=impossible, tasks=1))
        compute.close()

    def test_capabilities_are_facts(self, bench: Bench) -> None:
        compute = bench.connect(self.new_run())
        facts = compute.capabilities
        assert facts.name
        assert facts.poll_seconds > 0
        assert facts.ahead is None or facts.ahead >= 0
        assert facts.stores
        compute.close()
        compute.close()
