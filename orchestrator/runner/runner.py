"""Runs one attempt of one trial, and is what a training script calls to report its metrics.

This file needs Python 3.6 or newer on Linux and nothing else: copied alone into an image, it is executed there
(``python3 runner.py --help``); local slots import it.  The job document, the task and the files that an attempt
leaves are described in ``orchestrator/runner/__init__.py``.

How nothing stays behind: the process that runs attempts is a *subreaper*, so every descendant of the user's program,
whatever it did to its session, group or environment, becomes our child when its own parent ends.  ``wait`` saying
that there is no child any more is therefore the proof that all of them are gone.  For that reason an
:class:`Attempt` wants a process for itself: one at a time, in the main thread, and no other children.
"""

import json
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple, Union

    Json = Dict[str, Any]
    Part = Union[str, Dict[str, str]]
    Value = Tuple[str, float, Optional[float], float]  # metric, value, step, Unix time
    Row = Tuple[float, Optional[float], Dict[str, float]]  # Unix time, step, metrics

VERSION = 1

# The causes of orchestrator.providers.base.Cause that a runner can see by itself.
EXIT_CODE = "exit-code"
TIMEOUT = "timeout"
COMMAND = "command"
CANCELLED = "cancelled"
PREEMPTED = "preempted"
INFRASTRUCTURE = "infrastructure"

# The runner's own exit codes, which no program is likely to use; what ended with a program's has its code.
OTHERWISE, NOT_STORED = 120, 121

# Seconds that a program may run before it is looked at: those that are over by then cost no look at all.
FIRST_LOOK = 0.05
# Seconds between two looks at a running program, in its first SETTLED seconds and later.
LOOK, LATER_LOOK, SETTLED = 0.1, 0.25, 10.0
# Memory is sampled so seldom that it takes at most this share of a processor, and at least so often, in seconds.
SAMPLING_SHARE, SAMPLING_MOST = 0.01, 5.0
# Seconds after which a process that SIGKILL has not ended (it hangs inside the kernel) is left behind, with a note.
KILL_PATIENCE = 10.0
# A longer line of output is searched for metrics up to here; a longer line of metrics is refused.  Bytes.
LINE_LIMIT = 65536
# Bytes of output that are searched for metrics between two looks at everything else.
READ_LIMIT = 4 << 20
# Characters of a metric's name at most, and values that are handed over at once.
NAME_LIMIT = 200
BATCH = 50
STDERR_TAIL = 2000
# What stands where the value of a secret was printed; a shorter one is found by chance in any text.
MASK, SHORTEST_SECRET = b"***", 4


# ------------------------------------------------------------------------------------------------------- report()


def report(step: "Any" = None, **metrics: "Any") -> None:
    """Report metrics of this trial: ``report(step=3, loss=0.1)``.

    Values and ``step`` are numbers: Python's, NumPy's, or anything that ``float()`` takes; NaN and infinities too.
    Raises TypeError or ValueError for anything else.  Outside a run nothing is written.
    """
    if not metrics:
        raise ValueError("report() needs at least one metric: report(step=1, loss=0.5)")
    line = {"at": time.time()}  # type: Json
    if step is not None:
        number = _reported("step", step)
        if number != number or number in (float("inf"), float("-inf")):
            raise ValueError("report(): step must be finite, not %r" % (number,))
        line["step"] = int(number) if number == int(number) else number
    for name, value in metrics.items():
        if name == "at":
            raise ValueError("report(): 'at' is the time of the report and cannot be a metric's name")
        if len(name) > NAME_LIMIT:
            raise ValueError("report(): a metric's name has at most %d characters: %r" % (NAME_LIMIT, name))
        line[name] = jsonable(_reported(name, value))
    path = os.environ.get("ORCHESTRATE_METRICS")
    if path:
        # One write to a file opened for appending: lines of several processes never mix.
        append(path, (json.dumps(line, allow_nan=False) + "\n").encode("utf-8"))


def _reported(name: str, value: "Any") -> float:
    if isinstance(value, (str, bytes, bytearray)):
        raise TypeError("report(): %s must be a number, not %r" % (name, value))
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise TypeError("report(): %s must be a number, not %s (%s)" % (name, type(value).__name__, error))


# ------------------------------------------------------------------------------------------------- JSON and files


def jsonable(number: float) -> "Union[float, str]":
    """A number as strict JSON has it: NaN and the infinities as ``"nan"``, ``"inf"`` and ``"-inf"``."""
    if number != number:
        return "nan"
    if number in (float("inf"), float("-inf")):
        return "inf" if number > 0 else "-inf"
    return number


def strict_json(value: "Any") -> str:
    """JSON text without the NaN and Infinity that strict readers refuse."""
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:
        return json.dumps(_strict(value), allow_nan=False)


def _strict(value: "Any") -> "Any":
    if isinstance(value, float):
        return jsonable(value)
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    return value


def read_whole(path: str) -> bytes:
    """A file's bytes.  For files of /proc too, which have no size."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.read(fd, 65536)
        chunk = data
        while chunk:
            chunk = os.read(fd, 65536)
            data += chunk
        return data
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes) -> None:
    """Write everything: a full disk may take a part first."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def append(path: str, data: bytes) -> None:
    """Append to a file in one go; it is made where it is missing."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        write_all(fd, data)
    finally:
        os.close(fd)


def write_file(path: str, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        write_all(fd, data)
    finally:
        os.close(fd)


def replace_file(path: str, data: bytes) -> None:
    """Write a file at once: readers see the old one or the new one."""
    write_file(path + ".part", data)
    os.rename(path + ".part", path)


def remove_tree(path: str) -> None:
    """Delete a folder and all that is in it, following no link.  Fine if it is gone."""
    pending, folders = [path], []
    while pending:
        folder = pending.pop()
        try:
            entries = list(os.scandir(folder))
        except FileNotFoundError:
            continue
        except PermissionError:
            os.chmod(folder, 0o700)
            entries = list(os.scandir(folder))
        folders.append(folder)
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                pending.append(entry.path)
                continue
            try:
                os.unlink(entry.path)
            except PermissionError:
                os.chmod(folder, 0o700)
                os.unlink(entry.path)
    for folder in reversed(folders):
        try:
            os.rmdir(folder)
        except PermissionError:
            os.chmod(os.path.dirname(folder), 0o700)
            os.rmdir(folder)


def attempt_key(run: str, trial: int, attempt: int) -> str:
    """Where an attempt's files lie in the object store, as orchestrator.storage.layout has it."""
    return "runs/%s/trials/%06d/%d" % (run, trial, attempt)


def checkpoint_key(run: str, trial: int) -> str:
    return "runs/%s/trials/%06d/checkpoint" % (run, trial)


def size_text(size: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024.0
    return "%d bytes" % size if unit == "bytes" else "%.1f %s" % (size, unit)


# ------------------------------------------------------------------------------------------------------ templates


def text_of(value: "Any") -> str:
    """A value as it is inserted: a string as it is, anything else as its JSON text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def render(parts: "Sequence[Part]", values: "Json", quote: "Optional[Callable[[str], str]]" = None) -> str:
    """A template's text; ``quote`` is applied to the values, never to the literal parts.  Raises KeyError."""
    out = []
    for part in parts:
        if isinstance(part, str):
            out.append(part)
        else:
            text = text_of(values[part["name"]])
            out.append(quote(text) if quote else text)
    return "".join(out)


def quote_word(text: str) -> str:
    """A text as one word for the shell."""
    return "'" + text.replace("'", "'\"'\"'") + "'" if text else "''"


def quote_glob(text: str) -> str:
    """A text that matches itself in a pattern."""
    return "".join("[" + char + "]" if char in "*?[" else char for char in text)


# What a shell reads as itself outside quotes, in every place that our words can be in.
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./,:@%+= \t")
# Words that a shell executes itself or that are its grammar: POSIX's, and bash's where /bin/sh is bash.
_SHELL_OWN = frozenset(
    ". : [ [[ alias bg bind break builtin caller case cd command compgen complete continue coproc declare dirs "
    "disown do done echo elif else enable esac eval exec exit export false fc fg fi for function getopts hash help "
    "history if in jobs kill let local logout mapfile newgrp popd printf pushd pwd read readarray readonly return "
    "select set shift shopt source suspend test then time times trap true type typeset ulimit umask unalias unset "
    "until wait while".split()
)


def plain_words(parts: "Sequence[Part]", values: "Json") -> "Optional[List[str]]":
    """The words of a shell command that uses nothing of the shell, so that it can be executed without one, as make
    does: a process less to start, and signals and exit codes are the program's own.  None where a shell is needed.
    """
    words = []  # type: List[str]
    word = None  # type: Optional[str]
    for part in parts:
        if isinstance(part, str):
            if not _PLAIN.issuperset(part):
                return None
            pieces = part.replace("\t", " ").split(" ")
            for number, piece in enumerate(pieces):
                if number and word is not None:
                    words.append(word)
                    word = None
                if piece:
                    word = (word or "") + piece
        else:
            if not words:
                return None
            word = (word or "") + text_of(values[part["name"]])
    if word is not None:
        words.append(word)
    if not words or "=" in words[0] or words[0] in _SHELL_OWN:
        return None
    return words


# ------------------------------------------------------------------------------------- report() for those without


_SHIM = '''"""Makes `from orchestrator import report` work in a trial whose environment lacks orchestrator."""
import importlib.machinery
import importlib.util
import os
import sys


def _installed():
    own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    further = [entry for entry in sys.path if os.path.abspath(entry) != own]
    found = importlib.machinery.PathFinder.find_spec("orchestrator", further)
    if found is not None and found.origin not in (None, "namespace"):
        return found
    for finder in sys.meta_path:  # editable installations
        if not getattr(finder, "__module__", "").startswith(("_frozen", "importlib")):
            found = getattr(finder, "find_spec", lambda *_: None)("orchestrator", None)
            if found is not None and found.origin not in (None, "namespace"):
                return found
    return None


_found = _installed()
if _found is None:
    _found = importlib.util.spec_from_file_location("orchestrator._runner", %r)
    _module = importlib.util.module_from_spec(_found)
    _found.loader.exec_module(_module)
    report = _module.report
else:
    _module = importlib.util.module_from_spec(_found)
    sys.modules["orchestrator"] = _module
    _found.loader.exec_module(_module)
'''


def write_shim(folder: str) -> str:
    """Make ``folder`` such that, on PYTHONPATH, it gives ``report`` to programs that have no orchestrator."""
    package = os.path.join(folder, "orchestrator")
    path = os.path.join(package, "__init__.py")
    text = (_SHIM % os.path.abspath(__file__)).encode("utf-8")
    try:
        if read_whole(path) == text:
            return folder
    except FileNotFoundError:
        os.makedirs(package, exist_ok=True)
    replace_file(path, text)
    return folder


# ------------------------------------------------------------------------------------------ processes and signals


_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


_prctl = None  # type: Optional[Callable[..., int]]


def load_prctl() -> bool:
    """Find the system call; once, before any fork, since nothing may be loaded after one.

    False where this Python came without ctypes: then processes are neither adopted nor do they die with their parent.
    """
    global _prctl
    if _prctl is None:
        try:
            import ctypes

            _prctl = ctypes.CDLL(None).prctl
        except (ImportError, OSError, AttributeError):
            return False
    return True


def adopt_orphans() -> bool:
    """Become the parent of every descendant whose own parent ends.  False where this Python cannot ask for it."""
    loaded = load_prctl()
    return os.getpid() == 1 or (loaded and _prctl is not None and _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def die_with_parent(number: int, parent: int) -> None:
    """Ask the kernel for this signal when our parent, which is ``parent`` by id, ends; it may have ended already.

    For use between a fork and what follows it; :func:`load_prctl` must have been called before the fork.
    """
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


class Wake(object):
    """Signals as something to wait for: SIGCHLD, and those given.  Belongs to a process's main thread."""

    def __init__(self, numbers: "Iterable[int]") -> None:
        import select
        import signal

        self.caught = set()  # type: Set[int]
        self._poll = select.poll()
        self._read, write = os.pipe()
        for fd in (self._read, write):
            os.set_blocking(fd, False)
        self._poll.register(self._read, select.POLLIN)
        signal.set_wakeup_fd(write)
        for number in (signal.SIGCHLD, *numbers):
            signal.signal(number, self._handler)
        # Whoever started us may have blocked them.
        signal.pthread_sigmask(signal.SIG_SETMASK, [])

    @staticmethod
    def _handler(number: int, frame: "Any") -> None:
        """What Python does about the signal: nothing.  That it came has been written to the pipe."""

    def watch(self, fd: int, events: int) -> None:
        self._poll.register(fd, events)

    def forget(self, fd: int) -> None:
        self._poll.unregister(fd)

    def wait(self, seconds: "Optional[float]") -> "List[Tuple[int, int]]":
        """Wait for a signal or a watched file; returns the files' events.  Signals collect in ``caught``."""
        # Rounded up: a wait that ends just before its deadline would be repeated.
        ready = self._poll.poll(None if seconds is None else max(0, int(seconds * 1000 + 0.999)))
        others = [item for item in ready if item[0] != self._read]
        if len(others) != len(ready):
            try:
                self.caught.update(os.read(self._read, 4096))
            except BlockingIOError:
                pass
        return others


def signal_name(number: int) -> str:
    import signal

    try:
        return signal.Signals(number).name
    except ValueError:
        return "signal %d" % number


def children(pid: int) -> "List[int]":
    """Ids of the processes whose parent ``pid`` is now."""
    found = []  # type: List[int]
    try:
        threads = os.listdir("/proc/%d/task" % pid)
    except OSError:
        return found
    for thread in threads:
        try:
            found.extend(map(int, read_whole("/proc/%d/task/%s/children" % (pid, thread)).split()))
        except FileNotFoundError:
            # The thread has ended, or this kernel lists no children (CONFIG_PROC_CHILDREN).
            if not os.path.exists("/proc/self/task/%d/children" % os.getpid()):
                return [child for child, parent in parents().items() if parent == pid]
        except OSError:
            continue
    return found


def parents() -> "Dict[int, int]":
    """The parent of every process."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                # The program's name, in parentheses, may hold anything, parentheses too.
                fields = read_whole("/proc/%s/stat" % name).rpartition(b")")[2].split()
                found[int(name)] = int(fields[1])
            except (OSError, IndexError):
                continue
    return found


def descendants(root: int) -> "List[int]":
    """Children, their children and so on; zombies too."""
    found = []  # type: List[int]
    pending = [root]
    while pending:
        below = children(pending.pop())
        found += below
        pending += below
    return found


def send(pids: "Iterable[int]", number: int) -> None:
    """Send a signal to each of these; those that are gone or that we may not touch are left out."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue


def kill_descendants(root: int) -> None:
    """SIGKILL all descendants at once: each is stopped first, so that none can fork while the next is looked for."""
    import signal

    stopped = set()  # type: Set[int]
    for _ in range(100):
        fresh = set(descendants(root)) - stopped
        if not fresh:
            break
        send(fresh, signal.SIGSTOP)
        stopped |= fresh
    send(stopped, signal.SIGKILL)


def resident(pids: "Iterable[int]") -> int:
    """Bytes of memory that these processes have in use; pages that several share count for each."""
    pages = 0
    for pid in pids:
        try:
            pages += int(read_whole("/proc/%d/statm" % pid).split()[1])
        except (OSError, IndexError):
            continue
    return pages * os.sysconf("SC_PAGE_SIZE")


def proportional(pids: "Iterable[int]") -> int:
    """As ``resident``, but a page that several processes share counts once; takes long for large processes."""
    total = 0
    for pid in pids:
        try:
            for line in read_whole("/proc/%d/smaps_rollup" % pid).splitlines():
                if line.startswith(b"Pss:"):
                    total += int(line.split()[1]) * 1024
                    break
        except OSError:
            total += resident([pid])
    return total


def kernel_oom_kills() -> "Optional[int]":
    """How many processes the kernel has killed for want of memory; None where it does not tell.

    In a container those of the container (control groups of version 2, then 1), else those of the whole machine.
    """
    own = "/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"
    for path in own + ("/proc/vmstat",):
        try:
            for line in read_whole(path).splitlines():
                if line.startswith(b"oom_kill "):
                    return int(line.split()[1])
        except OSError:
            continue
    return None


# -------------------------------------------------------------------------------------------------------- metrics


class Lines(object):
    """Complete lines of a file that grows.  A line ends at a line feed or a carriage return (progress bars)."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.cut = 0  # lines that were longer than LINE_LIMIT
        self.found = False  # whether the file has come to be
        self._fd = None  # type: Optional[int]
        self._rest = b""
        self._skipping = False

    def read(self, limit: int) -> "Tuple[List[str], bool]":
        """Lines among up to ``limit`` more bytes, and whether that was all there is."""
        if self._fd is None:
            try:
                self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
                self.found = True
            except FileNotFoundError:
                return [], True
        data = os.read(self._fd, limit)
        if not data:
            return [], True
        end = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        if not end:
            self._rest += data
            lines = self._bounded()
        else:
            whole = self._rest + data[:end]
            self._rest = data[end:]
            if self._skipping:
                whole = whole[min(at for at in (whole.find(b"\n"), whole.find(b"\r")) if at >= 0) :]
                self._skipping = False
            lines = whole.decode("utf-8", "replace").replace("\r", "\n").split("\n")
            for number, line in enumerate(lines):
                if len(line) > LINE_LIMIT:
                    lines[number] = line[:LINE_LIMIT]
                    self.cut += 1
            lines += self._bounded()
        return lines, len(data) < limit

    def _bounded(self) -> "List[str]":
        """The beginning of a last line that grows without an end, so that it does not fill the memory."""
        if self._skipping:
            self._rest = b""
        elif len(self._rest) > LINE_LIMIT:
            line = self._rest[:LINE_LIMIT].decode("utf-8", "replace")
            self._rest, self._skipping = b"", True
            self.cut += 1
            return [line]
        return []

    def last(self) -> "List[str]":
        """The last line, when the file grows no more and it was never ended."""
        rest, self._rest = self._rest, b""
        return [rest.decode("utf-8", "replace")] if rest else []

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def number_of(value: "Any") -> float:
    """A reported value; ValueError for what is no number."""
    if isinstance(value, (int, float)):
        try:
            return float(value)
        except OverflowError:
            raise ValueError("too large")
    if value in ("nan", "inf", "-inf"):
        return float(value)
    raise ValueError("not a number")


def printed_number(text: "Optional[str]") -> float:
    """A number in a sentence: what follows it is no part of it, as in `acc=0.93, loss=...`."""
    return float((text or "").strip().rstrip(",;:)]}"))


class Metrics(object):
    """Values from the program's reports and from patterns over its output; their summary and their file."""

    def __init__(self, folder: str, patterns: "Dict[str, str]") -> None:
        import re

        self.reports = os.path.join(folder, "reports.jsonl")
        self.unread = 0  # reported lines and matched texts that were no numbers
        self.example = ""
        self.error = None  # type: Optional[OSError]
        self._path = os.path.join(folder, "metrics.jsonl")
        self._summary = {}  # type: Dict[str, List[Any]]
        self._sources = [(Lines(self.reports), self._reported)]  # type: List[Tuple[Lines, Any]]
        for name in ("at", "step"):
            if name in patterns:
                raise Failure(COMMAND, "A metric cannot be called '%s': every value has one." % name)
        if patterns:
            try:
                self._patterns = [(name, re.compile(pattern)) for name, pattern in patterns.items()]
            except re.error as error:
                raise Failure(COMMAND, "A pattern of metrics is no regular expression: %s." % error)
            self._sources.append((Lines(os.path.join(folder, "stdout.txt")), self._printed))

    def read(self) -> "Tuple[List[Value], bool]":
        """What has been reported since the last time, up to a limit, and whether that was all."""
        rows, complete = [], True  # type: Tuple[List[Row], bool]
        for lines, parse in self._sources:
            texts, all_read = lines.read(READ_LIMIT)
            complete = complete and all_read
            for text in texts:
                if text:
                    rows += parse(text)
        return self._note(rows), complete

    def finish(self) -> "List[Value]":
        """The last lines, which nobody ended."""
        rows = []
        for lines, parse in self._sources:
            for text in lines.last():
                rows += parse(text)
            lines.close()
        return self._note(rows)

    def _bad(self, text: str) -> None:
        self.unread += 1
        self.example = self.example or text[:100]

    def _reported(self, text: str) -> "List[Row]":
        try:
            line = json.loads(text)
            if not isinstance(line, dict):
                raise ValueError("not an object")
            at, step = line.pop("at", None), line.pop("step", None)
            at = time.time() if at is None else number_of(at)
            step = None if step is None else number_of(step)
            if jsonable(at) != at or (step is not None and jsonable(step) != step):
                raise ValueError("not finite")
        except (ValueError, RecursionError):
            self._bad(text)
            return []
        values = {}
        for name, value in line.items():
            try:
                if len(name) > NAME_LIMIT:
                    raise ValueError("the name is too long")
                values[name] = number_of(value)
            except ValueError:
                self._bad(text)
        return [(at, step, values)] if values else []

    def _printed(self, text: str) -> "List[Row]":
        rows = []  # type: List[Row]
        for name, pattern in self._patterns:
            for match in pattern.finditer(text):
                groups = pattern.groupindex
                try:
                    value = printed_number(match.group("value" if "value" in groups else 1 if pattern.groups else 0))
                    step = printed_number(match.group("step")) if "step" in groups else None
                    if step is not None and jsonable(step) != step:
                        raise ValueError("not finite")
                except ValueError:
                    self._bad(text)
                else:
                    rows.append((time.time(), step, {name: value}))
        return rows

    def _note(self, rows: "List[Row]") -> "List[Value]":
        values = []  # type: List[Value]
        lines = []
        for at, step, line in rows:
            entry = {"at": at, "step": step}  # type: Json
            for name, value in line.items():
                entry[name] = jsonable(value)
                values.append((name, value, step, at))
                known = self._summary.get(name)
                if known is None:
                    self._summary[name] = [value, value, value, step, 1]
                else:
                    known[0], known[3] = value, step
                    # A comparison with NaN is false: one that came first gives way to the first number.
                    if value < known[1] or known[1] != known[1]:
                        known[1] = value
                    if value > known[2] or known[2] != known[2]:
                        known[2] = value
                    known[4] += 1
            lines.append(json.dumps(entry, allow_nan=False))
        if lines and self.error is None:
            try:
                append(self._path, ("\n".join(lines) + "\n").encode("utf-8"))
            except OSError as error:
                self.error = error
        return values

    @property
    def reported(self) -> bool:
        """Whether the program has made the file of reports."""
        return self._sources[0][0].found

    def summary(self) -> "Json":
        return {
            name: {
                "last": jsonable(last),
                "min": jsonable(low),
                "max": jsonable(high),
                "step": step,
                "count": count,
            }
            for name, (last, low, high, step, count) in self._summary.items()
        }

    def notes(self) -> "List[str]":
        found = []
        if self.unread:
            found.append("%d reported values were no numbers, the first in: %s" % (self.unread, self.example))
        cut = sum(lines.cut for lines, _ in self._sources)
        if cut:
            found.append("%d lines were read for metrics up to %d bytes only" % (cut, LINE_LIMIT))
        if self.error is not None:
            found.append("metrics.jsonl is incomplete: %s" % self.error.strerror)
        return found


# -------------------------------------------------------------------------------------------------------- outputs


class Outputs(object):
    """Moves what matches the output patterns from the working directory to the folder that is kept.

    ``*`` and ``?`` do not match a leading dot, ``**`` matches any number of folders, and a folder stands for all that
    is in it.  A link to a file of the working directory becomes that file; links that lead out of it and whatever is
    no file are skipped and named.  ``lasting`` is a folder that the working directory links to and that stays (the
    checkpoint): its files are linked, not moved.
    """

    def __init__(self, work: str, target: str, lasting: "Optional[Tuple[str, str]]" = None) -> None:
        self.missing = []  # type: List[str]
        self.skipped = []  # type: List[str]
        self._work = os.path.realpath(work)
        self._target = target
        self._link, self._lasting = ("", "") if lasting is None else (lasting[0], os.path.realpath(lasting[1]))

    def collect(self, patterns: "Iterable[str]") -> "List[str]":
        """The paths that were kept, in order."""
        wanted = set()  # type: Set[str]
        for pattern in patterns:
            parts = [part for part in pattern.split("/") if part not in ("", ".")]
            if pattern.startswith("/") or ".." in parts or not parts:
                self.skipped.append("%s: patterns are relative to the working directory and stay in it" % pattern)
                continue
            found = set()  # type: Set[str]
            for path in self._expand("", parts):
                self._gather(path, found)
            if not found:
                self.missing.append(pattern)
            wanted |= found
        # Links first: what they name may be moved itself.
        links = {path for path in wanted if os.path.islink(os.path.join(self._work, path))}
        kept = [path for path in sorted(links) if self._keep_link(path)]
        kept += [path for path in sorted(wanted - links) if self._keep(path)]
        return sorted(kept)

    def _is_folder(self, path: str) -> bool:
        full = os.path.join(self._work, path)
        return os.path.isdir(full) and (path == self._link or not os.path.islink(full))

    def _names(self, path: str) -> "List[str]":
        try:
            return sorted(os.listdir(os.path.join(self._work, path)))
        except OSError as error:
            self.skipped.append("%s: %s" % (path, error.strerror))
            return []

    def _expand(self, base: str, parts: "List[str]") -> "Iterator[str]":
        import fnmatch

        if not parts:
            yield base
            return
        part, rest = parts[0], parts[1:]
        if part == "**":
            if rest:
                for match in self._expand(base, rest):
                    yield match
            else:
                for name in self._names(base):
                    if not name.startswith("."):
                        yield os.path.join(base, name)
                return
            for name in self._names(base):
                inner = os.path.join(base, name)
                if not name.startswith(".") and self._is_folder(inner):
                    for match in self._expand(inner, parts):
                        yield match
        elif not any(char in part for char in "*?["):
            inner = os.path.join(base, part)
            if os.path.lexists(os.path.join(self._work, inner)) and (not rest or self._is_folder(inner)):
                for match in self._expand(inner, rest):
                    yield match
        else:
            for name in self._names(base):
                hidden = name.startswith(".") and not part.startswith(".")
                if not hidden and fnmatch.fnmatchcase(name, part):
                    inner = os.path.join(base, name)
                    if not rest or self._is_folder(inner):
                        for match in self._expand(inner, rest):
                            yield match

    def _gather(self, path: str, found: "Set[str]") -> None:
        pending = [path]
        while pending:
            path = pending.pop()
            if self._is_folder(path):
                pending += [os.path.join(path, name) for name in self._names(path)]
            else:
                found.add(path)

    def _place(self, path: str) -> str:
        target = os.path.join(self._target, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        return target

    def _keep_link(self, path: str) -> bool:
        real = os.path.realpath(os.path.join(self._work, path))
        inside = any(real.startswith(root + os.sep) for root in (self._work, self._lasting) if root)
        if not inside or not os.path.isfile(real):
            what = "it is a link to a folder" if inside and os.path.isdir(real) else "the link leaves the tree"
            self.skipped.append("%s: %s" % (path, what if os.path.exists(real) else "the link leads nowhere"))
            return False
        return self._moved(path, lambda target: os.link(real, target))

    def _keep(self, path: str) -> bool:
        import stat

        source = os.path.join(self._work, path)
        status = os.lstat(source)
        if not stat.S_ISREG(status.st_mode):
            self.skipped.append("%s: it is not a file" % path)
            return False
        if self._link and path.startswith(self._link + os.sep):
            return self._moved(path, lambda target: os.link(source, target))
        if status.st_nlink > 1 and not status.st_mode & 0o222:
            # A link to the code bundle that all trials share: whoever edits the kept file must not edit that.
            return self._moved(path, lambda target: copy_file(source, target))
        return self._moved(path, lambda target: os.rename(source, target))

    def _moved(self, path: str, move: "Callable[[str], None]") -> bool:
        try:
            move(self._place(path))
        except OSError as error:
            self.skipped.append("%s: %s" % (path, error.strerror))
            return False
        return True


def copy_file(source: str, target: str) -> None:
    """A new file with the same bytes, which its owner may write to."""
    fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        mode = os.fstat(fd).st_mode & 0o777 | 0o200
        out = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            data = os.read(fd, 1 << 20)
            while data:
                write_all(out, data)
                data = os.read(fd, 1 << 20)
        finally:
            os.close(out)
    finally:
        os.close(fd)


# ------------------------------------------------------------------------------------------------ one attempt


class Failure(Exception):
    """The attempt has failed, for this cause and for a reason that is one sentence."""

    def __init__(self, cause: str, reason: str) -> None:
        Exception.__init__(self, reason)
        self.cause = cause
        self.reason = reason


class Stop(object):
    """An order to end the program: with SIGTERM and, after the job's grace, SIGKILL; or ``at_once``."""

    def __init__(self, cause: str, reason: str, at_once: bool = False) -> None:
        self.cause = cause
        self.reason = reason
        self.at_once = at_once


class Concealed(object):
    """A stream of a program's that reaches its file without the values of secrets, which no disk ever sees.

    ``program`` is the end that the program is given.
    """

    def __init__(self, path: str, values: "Iterable[bytes]", wake: Wake) -> None:
        import re
        import select

        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        self._ours, self.program = os.pipe()
        os.set_blocking(self._ours, False)
        self._values = sorted(values, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(re.escape(value) for value in self._values))
        self._held = b""
        self.error = None  # type: Optional[OSError]
        self._wake = wake
        wake.watch(self._ours, select.POLLIN)

    def pump(self) -> bool:
        """Write down what has come, a part of it at a time; whether there is more."""
        if self._ours < 0:
            return False
        try:
            data = os.read(self._ours, READ_LIMIT)
        except BlockingIOError:
            return False
        if not data:
            self._stop_reading()
            return False
        text, at = self._held + data, 0
        for found in self._pattern.finditer(text):
            if self._unfinished(text, found.start()) == found.start():
                break  # it may be the beginning of a longer one
            self._write(text[at : found.start()] + MASK)
            at = found.end()
        end = self._unfinished(text, at)
        self._write(text[at:end])
        self._held = text[end:]
        return True

    def _write(self, data: bytes) -> None:
        """A full disk is no reason to let the program wait for ever."""
        if self.error is None:
            try:
                write_all(self._file, data)
            except OSError as error:
                self.error = error

    def _unfinished(self, text: bytes, start: int) -> int:
        """Where what may become a secret begins, in what comes from ``start`` on; else the end."""
        first = len(text)
        for value in self._values:
            at = text.find(value[:1], max(start, len(text) - len(value) + 1))
            while 0 <= at < first and not value.startswith(text[at:]):
                at = text.find(value[:1], at + 1)
            if 0 <= at < first:
                first = at
        return first

    def _stop_reading(self) -> None:
        self._wake.forget(self._ours)
        os.close(self._ours)
        self._ours = -1

    def close(self) -> None:
        """Nothing writes to it any more."""
        if self._file < 0:
            return
        while self.pump():
            pass
        self._write(self._held)
        if self._ours >= 0:
            self._stop_reading()
        os.close(self._file)
        self._file = -1


class Place(object):
    """Where an attempt runs: what it starts from, and who wants to know about it.

    ``environ`` is the environment that the program inherits, ``secrets`` are the values that only it may see, and
    ``shim`` is the folder of :func:`write_shim`.
    """

    environ = {}  # type: Dict[str, str]
    _encoded = None  # type: Optional[Dict[bytes, bytes]]
    secrets = {}  # type: Dict[str, str]
    shim = None  # type: Optional[str]
    # What kernel_oom_kills() says before the attempt, where it is asked for; else a first look at the program asks.
    oom_kills = None  # type: Optional[int]

    def variables(self) -> "Dict[bytes, bytes]":
        """A copy of ``environ`` as the system takes it."""
        if self._encoded is None:
            self._encoded = {encode(name): encode(value) for name, value in self.environ.items()}
        return dict(self._encoded)

    def open_work(self, work: str) -> None:
        """Make the empty working directory."""
        os.mkdir(work)

    def close_work(self, work: str) -> None:
        """Remove it with what is left in it.  Fine if it is gone."""
        remove_tree(work)

    def fill(self, digest: str, work: str) -> None:
        """Put the code bundle into the empty working directory."""
        raise NotImplementedError

    def bring(self, source: str, target: str) -> None:
        """Put an input at the absolute path ``target``, which does not exist."""
        raise NotImplementedError

    def checkpoint(self, trial: int, parent: "Optional[int]") -> str:
        """The folder that a trial's attempts share.  It exists; at first it holds what the trial ``parent`` left."""
        raise NotImplementedError

    def look(self, attempt: "Attempt") -> "Optional[Stop]":
        """Called before the program is started (``attempt.pid`` is 0 then), every now and then while it runs, and
        whenever a signal has come."""

    def seen(self, values: "List[Value]", wait: bool) -> bool:
        """Hand over up to BATCH values.  False, unless ``wait``: not now, ask again at the next look."""
        return True

    def check(self) -> None:
        """Called when the program has ended.  Raises Failure where what it has left cannot be trusted."""


class Attempt(object):
    """One attempt of one trial in ``folder``, which exists and is empty.

    ``run`` does everything and writes ``result.json``, last.  The caller has called :func:`adopt_orphans`, and
    ``wake`` is this process's one :class:`Wake`.
    """

    def __init__(self, job: "Json", task: "Json", folder: str, place: Place, wake: Wake) -> None:
        self.job = job
        self.task = task
        self.folder = folder
        self.place = place
        self.wake = wake
        self.pid = 0
        self.peak = 0
        self.memory = 0
        self.notes = []  # type: List[str]
        self._work = os.path.join(folder, "work")
        self._values = dict(task["params"], run=job["run"], trial=task["trial"], attempt=task["attempt"])
        self._metrics = None  # type: Optional[Metrics]
        self._unsent = []  # type: List[Value]
        self._status = None  # type: Optional[int]
        self._alone = False  # whether the kernel has said that we have no child any more
        self._stop = None  # type: Optional[Stop]
        self._kill_at = float("inf")
        self._shell = False
        self._secrets = {}  # type: Dict[str, str]
        self._concealed = []  # type: List[Concealed]
        self._checkpoint = None  # type: Optional[str]
        self._oom_kills = place.oom_kills

    def run(self) -> str:
        """Run it to its end; returns the text of ``result.json``.

        Raises OSError where that file cannot be written: nothing is known then of the attempt.
        """
        started, begun = time.time(), time.monotonic()
        cause, reason = None, ""  # type: Tuple[Optional[str], str]
        try:
            try:
                self._start()
                self._watch(begun)
                self._finish_metrics()
            except OSError as error:
                raise Failure(INFRASTRUCTURE, "The trial could not be run: %s." % describe(error))
            finally:
                self._end_leftovers()
            self._judge()
        except Failure as failure:
            cause, reason = failure.cause, failure.reason
        try:
            self.place.check()
        except Failure as failure:
            if cause in (None, EXIT_CODE):
                cause, reason = failure.cause, failure.reason
        finished, seconds = time.time(), time.monotonic() - begun
        result = {
            "version": VERSION,
            "run": self.job["run"],
            "trial": self.task["trial"],
            "attempt": self.task["attempt"],
            "name": self.task["name"],
            "cause": cause,
            "reason": self._masked(reason),
            "exit_code": self._exit_code(),
            "signal": self._signal(),
            "started": started,
            "finished": finished,
            "seconds": seconds,
            "metrics": self._metrics.summary() if self._metrics else {},
            "outputs": [],
            "peak_memory": self.peak or None,
        }  # type: Json
        if cause is not None:
            result["stderr_tail"] = self._masked(self._stderr_tail())
        if self.job["outputs"]:
            self._collect(result)
        self._remove_work()
        if self._metrics:
            self.notes += self._metrics.notes()
        errors = [stream.error for stream in self._concealed if stream.error is not None]
        if errors:
            self.notes.append("what was printed is kept in part: %s" % errors[0].strerror)
        if self.notes:
            result["notes"] = [self._masked(note) for note in self.notes]
        text = strict_json(result)
        replace_file(os.path.join(self.folder, "result.json"), text.encode("utf-8"))
        return text

    # ------------------------------------------------------------------------------------------ before

    def _start(self) -> None:
        stop = self.place.look(self)
        if stop is not None:
            raise Failure(stop.cause, stop.reason)
        self.place.open_work(self._work)
        write_file(os.path.join(self.folder, "params.json"), strict_json(self.task["params"]).encode("utf-8"))
        if self.job["code"]:
            self.place.fill(self.job["code"]["digest"], self._work)
        for item in self.job["inputs"]:
            source, target = self._render(item["from"]), self._render(item["to"])
            # What lies in another store may have been brought to this machine before.
            source = self.task.get("brought", {}).get(source, source)
            self.place.bring(source, self._inside(target, "input"))
        self._link_checkpoint()
        self._metrics = Metrics(self.folder, self.job["metrics"])
        self._spawn(self._command(), self._environment())

    def _render(self, parts: "Sequence[Part]", quote: "Optional[Callable[[str], str]]" = None) -> str:
        try:
            return render(parts, self._values, quote)
        except KeyError as error:
            raise Failure(COMMAND, "There is no parameter called %s." % error)

    def _inside(self, path: str, what: str) -> str:
        """An absolute path in the working directory whose folder exists and where nothing is yet."""
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if path.startswith("/") or ".." in parts or not parts:
            raise Failure(COMMAND, "The %s's place '%s' is not inside the working directory." % (what, path))
        target = os.path.join(self._work, *parts)
        folder = os.path.dirname(target)
        try:
            if len(parts) > 1:
                os.makedirs(folder, exist_ok=True)
            real = os.path.realpath(folder)
        except OSError as error:
            raise Failure(COMMAND, "The %s '%s' cannot be put there: %s." % (what, path, describe(error)))
        if (real + os.sep).startswith(os.path.realpath(self._work) + os.sep) and not os.path.lexists(target):
            return target
        raise Failure(COMMAND, "The %s '%s' would replace or follow something that is there already." % (what, path))

    def _link_checkpoint(self) -> None:
        if self.job.get("checkpoint"):
            parent = self.task.get("parent")
            self._checkpoint = self.place.checkpoint(self.task["trial"], parent)
            if parent is not None and not os.listdir(self._checkpoint):
                self.notes.append("Trial %d, from whose checkpoint this one was to go on, left none." % parent)
            target = self._work_path(self.job["checkpoint"])
            if os.path.isdir(target) and not os.path.islink(target):
                # The code has this folder: it is what the first attempt starts from.
                if not os.listdir(self._checkpoint):
                    for name in os.listdir(target):
                        os.rename(os.path.join(target, name), os.path.join(self._checkpoint, name))
                remove_tree(target)
            os.symlink(self._checkpoint, self._inside(self.job["checkpoint"], "checkpoint folder"))

    def _work_path(self, path: str) -> str:
        return os.path.join(self._work, *[part for part in path.split("/") if part not in ("", ".")])

    def _command(self) -> "List[str]":
        command = self.job["command"]
        if "argv" in command:
            return [self._render(word) for word in command["argv"]]
        words = None
        try:
            words = plain_words(command["shell"], self._values)
        except KeyError as error:
            raise Failure(COMMAND, "There is no parameter called %s." % error)
        if words is not None:
            return words
        self._shell = True
        return ["/bin/sh", "-c", self._render(command["shell"], quote_word)]

    def _environment(self) -> "Dict[str, str]":
        """The variables that the program finds beside those of its place, or instead of them."""
        inherited, env = self.place.environ, {}  # type: Tuple[Dict[str, str], Dict[str, str]]
        if "PYTHONUNBUFFERED" not in inherited:
            # What a program printed just before it was killed is what its user needs most.
            env["PYTHONUNBUFFERED"] = "1"
        for name, value in self.task["params"].items():
            env["PARAM_" + name] = text_of(value)
        for name, parts in self.job["env"].items():
            env[name] = self._render(parts)
        for name in self.job["secrets"]:
            value = self.place.secrets.get(name, inherited.get(name))
            if value is None:
                raise Failure(COMMAND, "The secret %s has no value here." % name)
            env[name] = self._secrets[name] = value
        if self.place.shim:
            # Last, so that it hides nothing of the user's.
            own = env.get("PYTHONPATH", inherited.get("PYTHONPATH"))
            env["PYTHONPATH"] = own + os.pathsep + self.place.shim if own else self.place.shim
        env["ORCHESTRATE_RUN"] = self.job["run"]
        env["ORCHESTRATE_TRIAL"] = str(self.task["trial"])
        env["ORCHESTRATE_ATTEMPT"] = str(self.task["attempt"])
        env["ORCHESTRATE_PARAMS"] = self.folder + "/params.json"
        env["ORCHESTRATE_METRICS"] = self.folder + "/reports.jsonl"
        if self._checkpoint:
            env["ORCHESTRATE_CHECKPOINT"] = self._checkpoint
        return env

    def _spawn(self, argv: "List[str]", env: "Dict[str, str]") -> None:
        import errno

        path = find_program(argv[0], env.get("PATH", self.place.environ.get("PATH", os.defpath)))
        variables = self.place.variables()
        variables.pop(b"ORCHESTRATE_CHECKPOINT", None)  # of a run that this one is a trial of
        try:
            words = [encode(word) for word in argv]
            added = {encode(name): encode(value) for name, value in env.items()}
            if any(b"\0" in word for words in (words, added.values()) for word in words):
                raise ValueError("they hold a NUL character")
            if any(b"=" in name or b"\0" in name or not name for name in added):
                raise ValueError("a variable has a name that no variable can have")
        except ValueError as error:  # UnicodeEncodeError too
            raise Failure(COMMAND, "The command or its variables cannot be passed on: %s." % error)
        variables.update(added)
        hidden = [encode(value) for value in self._secrets.values() if len(value) >= SHORTEST_SECRET]
        streams = [os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)]
        try:
            for name in ("/stdout.txt", "/stderr.txt"):
                if hidden:
                    self._concealed.append(Concealed(self.folder + name, hidden, self.wake))
                    streams.append(self._concealed[-1].program)
                    continue
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
                streams.append(os.open(self.folder + name, flags, 0o666))
            try:
                self.pid = launch(encode(path), words, variables, self._work, streams)
            except OSError as error:
                why = os.strerror(error.errno or 0)
                if error.errno in (errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.EIO):
                    raise Failure(INFRASTRUCTURE, "The command could not be started: %s." % why)
                if error.errno == errno.ENOENT:
                    why += " (or the interpreter that its first line names)"
                raise Failure(COMMAND, "The command '%s' cannot be started: %s." % (argv[0], why))
        finally:
            for fd in streams:
                os.close(fd)

    # ------------------------------------------------------------------------------------------- while

    def _watch(self, begun: float) -> None:
        """Until the program has ended and, where it was stopped, all that it started has."""
        timeout = self.job.get("timeout")
        deadline = begun + timeout if timeout else float("inf")
        look_at, sample_at = begun + FIRST_LOOK, begun + FIRST_LOOK
        now = time.monotonic()
        while True:
            self.wake.wait(max(0.0, min(look_at, deadline, self._kill_at) - now))
            self._pump()
            self._reap()
            # A program that was asked to end may leave its end to its children: a shell goes first.
            if self._alone or (self._status is not None and self._stop is None):
                return
            now = time.monotonic()
            if now >= self._kill_at:
                return
            if now >= deadline:
                deadline = float("inf")
                self.stop(Stop(TIMEOUT, "The trial ran longer than its timeout of %g s." % (timeout or 0)))
            if now >= sample_at:
                sample_at = now + self._sample()
            stop = self.place.look(self)
            if stop is not None:
                self.stop(stop)
            if now >= look_at:
                if self._oom_kills is None:
                    self._oom_kills = kernel_oom_kills()
                more = not self._read_metrics()
                now = time.monotonic()
                look_at = now if more else now + (LOOK if now - begun < SETTLED else LATER_LOOK)

    def _pump(self) -> None:
        for stream in self._concealed:
            stream.pump()

    def stop(self, stop: Stop) -> None:
        """Ask the program to end.  Only the first reason counts; a later one can make it quicker."""
        import signal

        first, self._stop = self._stop is None, self._stop or stop
        if stop.at_once:
            self._kill_at = 0.0
        elif first:
            self._kill_at = time.monotonic() + self.job["grace"]
            send(descendants(os.getpid()) or [-self.pid], signal.SIGTERM)

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                self._alone = True
                return
            if pid == 0:
                return
            if pid == self.pid:
                self._status = status
                self.peak = max(self.peak, usage.ru_maxrss * 1024)

    def _sample(self) -> float:
        """Look at the memory in use; returns the seconds until the next time."""
        clock = time.monotonic()
        pids = descendants(os.getpid())
        used = resident(pids)
        if len(pids) > 1 and used > self.peak:
            # Processes that forked share most of their memory.
            used = proportional(pids)
        self.memory, self.peak = used, max(self.peak, used)
        limit = self.job.get("memory")
        if limit and used > limit:
            reason = "The trial used %s of memory and its limit is %s." % (size_text(used), size_text(limit))
            self.stop(Stop(EXIT_CODE, reason, at_once=True))
        took = time.monotonic() - clock
        return min(max(LOOK if limit else 1.0, took / SAMPLING_SHARE), SAMPLING_MOST)

    def _read_metrics(self) -> bool:
        """Read on where the last values have been taken; whether all has been read that there is."""
        if not self._send_metrics(False):
            return True
        assert self._metrics is not None
        self._unsent, complete = self._metrics.read()
        self._send_metrics(False)
        return complete

    def _send_metrics(self, wait: bool) -> bool:
        while self._unsent:
            if not self.place.seen(self._unsent[:BATCH], wait):
                return False
            del self._unsent[:BATCH]
        return True

    # ------------------------------------------------------------------------------------------- after

    def _end_leftovers(self) -> None:
        """SIGKILL for whatever the program has left behind, until the kernel says that nothing is."""
        if self.pid:
            self._kill_leftovers()
        for stream in self._concealed:
            stream.close()

    def _kill_leftovers(self) -> None:
        deadline = time.monotonic() + KILL_PATIENCE
        while not self._alone:
            kill_descendants(os.getpid())
            self.wake.wait(0.02)
            self._pump()
            self._reap()
            if time.monotonic() > deadline and not self._alone:
                left = ", ".join(map(str, descendants(os.getpid())))
                self.notes.append("these processes could not be killed and were left behind: %s" % left)
                return

    def _finish_metrics(self) -> None:
        assert self._metrics is not None
        self._end_leftovers()
        complete = False
        while not complete:
            self._send_metrics(True)
            self._unsent, complete = self._metrics.read()
        self._send_metrics(True)
        self._unsent = self._metrics.finish()
        self._send_metrics(True)
        if self._metrics.reported:
            os.unlink(self._metrics.reports)

    def _exit_code(self) -> "Optional[int]":
        return os.WEXITSTATUS(self._status) if self._status is not None and os.WIFEXITED(self._status) else None

    def _signal(self) -> "Optional[int]":
        return os.WTERMSIG(self._status) if self._status is not None and os.WIFSIGNALED(self._status) else None

    def _judge(self) -> None:
        """Raises Failure, unless the program has succeeded."""
        if self._stop is not None:
            raise Failure(self._stop.cause, self._stop.reason)
        number, code = self._signal(), self._exit_code()
        if number is not None:
            raise Failure(EXIT_CODE, "The command was killed by %s." % self._killed_by(number))
        if code in (126, 127):
            what = "was not found" if code == 127 else "cannot be executed"
            raise Failure(COMMAND, "The command, or one that it called, %s (exit code %d)." % (what, code))
        if code is not None and 128 < code <= 128 + 64 and self._shell:
            killed = self._killed_by(code - 128)
            raise Failure(EXIT_CODE, "The command ended with exit code %d: killed by %s." % (code, killed))
        if code != 0:
            raise Failure(EXIT_CODE, "The command ended with exit code %s." % code)

    def _killed_by(self, number: int) -> str:
        import signal

        if number != signal.SIGKILL:
            return signal_name(number)
        now = kernel_oom_kills()
        if self._oom_kills is not None and now is not None and now > self._oom_kills:
            return "SIGKILL: out of memory (the kernel killed for want of memory meanwhile)"
        return "SIGKILL: out of memory?"

    def _stderr_tail(self) -> str:
        try:
            fd = os.open(os.path.join(self.folder, "stderr.txt"), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return ""
        try:
            size = os.fstat(fd).st_size
            os.lseek(fd, max(0, size - STDERR_TAIL), os.SEEK_SET)
            text = os.read(fd, STDERR_TAIL).decode("utf-8", "replace")
        finally:
            os.close(fd)
        return text if size <= STDERR_TAIL else text.partition("\n")[2] or text

    def _masked(self, text: str) -> str:
        """A secret's value is never written down by us, not even when the program printed it."""
        for value in self._secrets.values():
            if len(value) >= SHORTEST_SECRET:
                text = text.replace(value, MASK.decode())
        return text

    def _collect(self, result: "Json") -> None:
        if not os.path.isdir(self._work):
            return
        lasting = None
        if self._checkpoint:
            lasting = (os.path.relpath(self._work_path(self.job["checkpoint"]), self._work), self._checkpoint)
        outputs = Outputs(self._work, os.path.join(self.folder, "outputs"), lasting)
        try:
            patterns = [self._render(parts, quote_glob) for parts in self.job["outputs"]]
        except Failure as failure:
            self.notes.append("no outputs were collected: %s" % failure.reason)
            return
        result["outputs"] = outputs.collect(patterns)
        if outputs.missing and result["cause"] is None:
            result["missing_outputs"] = outputs.missing
        if outputs.skipped:
            result["skipped_outputs"] = outputs.skipped

    def _remove_work(self) -> None:
        try:
            self.place.close_work(self._work)
        except OSError as error:
            self.notes.append("the working directory could not be removed: %s" % describe(error))


def describe(error: OSError) -> str:
    """An operating system's error as a part of a sentence."""
    text = error.strerror or str(error)
    return "%s: %s" % (text, error.filename) if error.filename else text


def encode(text: str) -> bytes:
    """As bytes for the system, whatever the locale: UTF-8, and undecodable bytes of a variable as they were."""
    return text.encode("utf-8", "surrogateescape")


_programs = {}  # type: Dict[Tuple[str, str], str]


def find_program(name: str, path: str) -> str:
    """The file that a program's name means, by the PATH that the program will see.  Raises Failure."""
    if "/" in name:
        return name
    known = _programs.get((path, name))
    if known is not None:
        return known
    for folder in path.split(os.pathsep):
        # A relative folder of PATH is meant from the working directory, where the program does not run yet.
        candidate = os.path.join(folder, name)
        if os.path.isabs(folder) and os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            _programs[path, name] = candidate
            return candidate
    raise Failure(COMMAND, "The command '%s' was not found on PATH." % name)


def launch(
    path: bytes, words: "List[bytes]", variables: "Dict[bytes, bytes]", folder: str, streams: "Sequence[int]"
) -> int:
    """Start a program in ``folder`` and in a session of its own, with these files as its standard streams.

    Returns its process id; raises OSError where it cannot be executed.  Leaves this process in ``/``.  The program is
    spawned without a fork of this process, which would take twice the time: so nothing can be set in between, and the
    kernel does not end the program with us.  Whoever runs attempts is under a supervisor that does.
    """
    import errno

    os.chdir(folder)
    try:
        try:
            return _execute(path, words, variables, streams)
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
            # A script without a first line that names its interpreter, as execvp(3) takes it.
            return _execute(b"/bin/sh", [b"sh", path, *words[1:]], variables, streams)
    finally:
        os.chdir("/")


def _execute(path: bytes, words: "List[bytes]", variables: "Dict[bytes, bytes]", streams: "Sequence[int]") -> int:
    import signal

    # Python ignores these two; the program must find them as usual.
    usual = (signal.SIGPIPE, signal.SIGXFSZ)
    try:
        actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(streams)]
        return os.posix_spawn(path, words, variables, file_actions=actions, setsid=True, setsigdef=usual)
    except (AttributeError, NotImplementedError):
        # Python before 3.8, or a C library that does not begin sessions.
        import subprocess

        process = subprocess.Popen(
            words,
            executable=path,
            env=variables,
            stdin=streams[0],
            stdout=streams[1],
            stderr=streams[2],
            start_new_session=True,
        )
        process.returncode = 0  # it is not this object that will wait for it
        return process.pid


# ----------------------------------------------------------------------------------------------- object stores


def chosen(files: "List[Json]", path: str) -> "List[Tuple[str, Json]]":
    """Of a stored input's files the one at ``path``, then called "", or those below it, by their names from there.

    Raises Failure where there is neither.
    """
    parts = [part for part in path.split("/") if part not in ("", ".")]
    found = []
    for file in files:
        names = [] if file["path"] == "." else file["path"].split("/")
        if names[: len(parts)] == parts:
            found.append(("/".join(names[len(parts) :]), file))
    if not found and parts:
        raise Failure(COMMAND, "There is no '%s' in what was stored of this input's folder." % path)
    return found


class Transport(object):
    """What a runner needs of an object store.  A subclass each for folders, S3 and Azure's blobs."""

    # True while the program runs: whatever fails then is not repeated at once, but at a later look.
    hurried = False

    def __init__(self, root: str) -> None:
        """``root`` says where the store is, in the transport's own words."""
        self.root = root

    def begin(self, key: str) -> None:
        """An attempt begins at ``key``: what an earlier try of it left must not be taken for its own."""

    def get(self, key: str) -> bytes:
        raise NotImplementedError

    def bring(self, source: str, target: str) -> None:
        """Put an input (a key, or what else the transport understands) at the path ``target``."""
        raise NotImplementedError

    def _bring_stored(self, source: str, target: str) -> None:
        """A stored input, or what :func:`chosen` finds in it.  Its files are linked: they are to be read only."""
        parts = source.split("/")
        if ".." in parts:
            raise Failure(COMMAND, "The input's path '%s' leads out of what was stored." % "/".join(parts[3:]))
        files = json.loads(self.get("/".join(parts[:3])).decode("utf-8"))["files"]
        for name, file in chosen(files, "/".join(parts[3:])):
            blob = self._blob(file["sha256"], file["path"])
            place = os.path.join(target, *name.split("/")) if name else target
            os.makedirs(os.path.dirname(place), exist_ok=True)
            if file["mode"] & 0o100:
                copy_file(blob, place)
                os.chmod(place, 0o755)
            else:
                os.symlink(blob, place)

    def _blob(self, sha256: str, name: str) -> str:
        """The path on this machine of a stored file, which is called ``name`` in its input."""
        raise NotImplementedError

    def bundle(self, digest: str, work: str) -> None:
        """Unpack the code bundle into ``work``."""
        raise NotImplementedError

    def checkpoint(self, key: str, folder: str, first: "Optional[str]" = None) -> str:
        """The folder to use for the checkpoint ``key``: one that lasts by itself, or ``folder``, filled.

        While nothing has been stored there it starts as a copy of the checkpoint ``first``, where there is that.
        """
        raise NotImplementedError

    def keep_checkpoint(self, key: str, folder: str) -> None:
        """Store the checkpoint folder, at the end and whenever it is worth while."""
        raise NotImplementedError

    def put(self, key: str, path: str) -> None:
        """Store a file as a whole."""
        raise NotImplementedError

    def grow(self, key: str, path: str, offset: int, last: bool) -> int:
        """Store what a growing file has beyond ``offset``; returns the new offset.

        Called at every look: a transport whose calls cost something does it now and then.  ``last``: it grows no
        more, so this is repeated until nothing is left.
        """
        raise NotImplementedError

    def seen(self, name: str, values: "List[Value]", last: bool) -> None:
        """Let whoever watches the run know what this task has reported; for what it is worth, never an error.

        Called at every look, like ``grow``, also with nothing new.
        """

    def stopping(self, name: str) -> bool:
        """Whether somebody has asked this task to stop.  Called at every look, like ``grow``."""
        return False

    def began(self, name: str) -> None:
        """Let whoever watches the run know that this task runs."""

    def ended(self, name: str, result: "Json") -> None:
        """Let whoever watches the run know that this task has ended and that all of it is stored."""


class FileTransport(Transport):
    """An object store that is a folder on this machine, or one mounted into the container."""

    def __init__(self, root: str) -> None:
        Transport.__init__(self, os.path.abspath(root))

    def path(self, key: str) -> str:
        return os.path.join(self.root, *key.split("/"))

    def get(self, key: str) -> bytes:
        return read_whole(self.path(key))

    def bring(self, source: str, target: str) -> None:
        """Inputs are linked, never copied: gigabytes cost nothing.  They are to be read only."""
        if os.path.isabs(source):
            if not os.path.exists(source):
                raise Failure(COMMAND, "The input '%s' does not exist." % source)
            os.symlink(source, target)
            return
        if not source.startswith("blobs/"):
            raise Failure(COMMAND, "The input '%s' is neither an absolute path nor a stored input." % source)
        self._bring_stored(source, target)

    def _blob(self, sha256: str, name: str) -> str:
        blob = self.path("blobs/%s/%s" % (sha256[:2], sha256))
        if not os.path.exists(blob):
            raise Failure(INFRASTRUCTURE, "A file of the input is missing in the store: %s." % name)
        return blob

    def bundle(self, digest: str, work: str) -> None:
        unpack_bundle(self.path("bundles/%s.tar" % digest), work)

    def checkpoint(self, key: str, folder: str, first: "Optional[str]" = None) -> str:
        path = self.path(key)
        if first is not None and not os.path.isdir(path) and os.path.isdir(self.path(first)):
            import shutil

            part = path + ".part"  # of an attempt that died over it
            remove_tree(part)
            shutil.copytree(self.path(first), part, symlinks=True)
            os.rename(part, path)
        os.makedirs(path, exist_ok=True)
        return path

    def keep_checkpoint(self, key: str, folder: str) -> None:
        """It lasts by itself."""

    def put(self, key: str, path: str) -> None:
        target = self.path(key)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        part = target + ".part"
        if os.path.lexists(part):
            os.unlink(part)
        copy_file(path, part)
        os.rename(part, target)

    def grow(self, key: str, path: str, offset: int, last: bool) -> int:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return offset
        try:
            os.lseek(fd, offset, os.SEEK_SET)
            data = os.read(fd, READ_LIMIT)
            if data or offset == 0:
                target = self.path(key)
                os.makedirs(os.path.dirname(target), exist_ok=True)
                append(target, data)
            return offset + len(data)
        finally:
            os.close(fd)


def unpack_bundle(path: str, work: str) -> None:
    """The files of a code bundle, into a folder that is empty."""
    import tarfile

    with tarfile.open(path) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isreg() else None
            parts = member.name.split("/")
            if content is None or member.name.startswith("/") or ".." in parts:
                raise Failure(COMMAND, "The code bundle holds '%s', which is no file of it." % member.name)
            target = os.path.join(work, *parts)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, member.mode & 0o777)
            try:
                data = content.read(1 << 20)
                while data:
                    write_all(fd, data)
                    data = content.read(1 << 20)
            finally:
                os.close(fd)


class HttpTransport(Transport):
    """What the object stores that are reached by HTTP have in common; a subclass says how one call is made."""

    # Seconds that one call may take, while the program runs and otherwise; that a call which must succeed is repeated;
    # and the longest pause in between.
    HURRIED, TIMEOUT, PATIENCE, PAUSE = 10.0, 60.0, 600.0, 20.0

    def __init__(self, root: str, cache: str) -> None:
        """``cache`` is a folder for what several tasks of this machine read."""
        Transport.__init__(self, root)
        self._cache = cache
        self._kept = None  # type: Any

    def _call(
        self, method: str, key: "Any", data: "Any" = None, headers: "Any" = None, query: "Any" = None
    ) -> "Tuple[int, Any, bytes]":
        """One call, as :meth:`_answered` gives it back."""
        raise NotImplementedError

    def _open(self, key: str) -> "Any":
        """An open answer whose body is the object."""
        raise NotImplementedError

    def _answered(self, request: "Any") -> "Tuple[int, Any, bytes]":
        """Status, headers and body of every answer that need not be asked for again; OSError for all else."""
        import http.client
        import urllib.error
        import urllib.request

        try:
            try:
                answer = urllib.request.urlopen(request, timeout=self.HURRIED if self.hurried else self.TIMEOUT)
            except urllib.error.HTTPError as error:
                answer = error
            try:
                status, body = answer.getcode(), answer.read()
                if status >= 500 or status == 429:
                    raise OSError("the store answered %d" % status)
                return status, answer.headers, body
            finally:
                answer.close()
        except http.client.HTTPException as error:
            raise OSError("the store's answer was cut off: %r" % error)

    def _surely(
        self, method: str, key: "Optional[str]", data: "Any" = None, headers: "Any" = None, query: "Any" = None
    ) -> "Tuple[int, Any, bytes]":
        """A call that is repeated until it is answered."""
        deadline, pause = time.monotonic() + self.PATIENCE, 0.5
        while True:
            try:
                return self._call(method, key, data, headers, query)
            except OSError:
                if self.hurried or time.monotonic() > deadline:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, self.PAUSE)

    @staticmethod
    def _refused(what: str, status: int, body: bytes) -> OSError:
        return OSError("%s: the store answered %d %s" % (what, status, body[:300].decode("utf-8", "replace")))

    def get(self, key: str) -> bytes:
        status, _, body = self._surely("GET", key)
        if status != 200:
            raise self._refused(key, status, body)
        return body

    def _fetch(self, what: str, opened: "Callable[[], Any]", path: str) -> None:
        """The whole body of an answer into a file."""
        import shutil

        deadline, pause = time.monotonic() + self.PATIENCE, 0.5
        while True:
            try:
                with opened() as answer, open(path + ".part", "wb") as out:
                    shutil.copyfileobj(answer, out, 1 << 20)
                    expected = answer.headers.get("Content-Length")
                    if expected is not None and out.tell() != int(expected):
                        raise OSError("the answer was cut off")
                os.rename(path + ".part", path)
                return
            except OSError as error:
                if getattr(error, "code", 500) in (403, 404) or time.monotonic() > deadline:
                    raise OSError("%s: %s" % (what, error))
            time.sleep(pause)
            pause = min(2 * pause, self.PAUSE)

    def _cached(self, name: str, key: str, sha256: str) -> str:
        """The path of an object that is kept for other tasks of this machine, and is what its digest says."""
        import fcntl

        os.makedirs(self._cache, exist_ok=True)
        path = os.path.join(self._cache, name)
        lock = os.open(path + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for fresh in (False, True):
                if fresh or not os.path.exists(path):
                    self._fetch(key, lambda: self._open(key), path)
                if digest_of(path) == sha256:
                    return path
        finally:
            os.close(lock)
        raise Failure(INFRASTRUCTURE, "The stored object '%s' is not what was stored." % key)

    def bundle(self, digest: str, work: str) -> None:
        unpack_bundle(self._cached(digest + ".tar", "bundles/%s.tar" % digest, digest), work)

    def bring(self, source: str, target: str) -> None:
        """Stored inputs are linked to the machine's one copy; they are to be read only.  Other URLs are fetched."""
        import urllib.request

        if source.startswith(("https://", "http://")):
            self._fetch(source, lambda: urllib.request.urlopen(source, timeout=self.TIMEOUT), target)
            return
        if not source.startswith("blobs/"):
            raise Failure(COMMAND, "The input '%s' is neither a stored input nor a URL." % source)
        self._bring_stored(source, target)

    def _blob(self, sha256: str, name: str) -> str:
        return self._cached(sha256, "blobs/%s/%s" % (sha256[:2], sha256), sha256)

    def checkpoint(self, key: str, folder: str, first: "Optional[str]" = None) -> str:
        import tarfile

        os.makedirs(folder, exist_ok=True)
        path = folder + ".tar"
        source = key if first is None or self._has(key) else first
        if self._has(source):
            self._fetch(source, lambda: self._open(source), path)
            with tarfile.open(path) as archive:
                for member in archive.getmembers():
                    parts = member.name.split("/")
                    if (member.isreg() or member.isdir()) and not member.name.startswith("/") and ".." not in parts:
                        archive.extract(member, folder)
            os.unlink(path)
        # What another trial left is not yet stored as this one's.
        self._kept = self._state_of(folder) if source == key else None
        return folder

    def _has(self, key: str) -> bool:
        status, _, body = self._surely("HEAD", key)
        if status not in (200, 404):
            raise self._refused(key, status, body)
        return status == 200

    @staticmethod
    def _state_of(folder: str) -> "List[Tuple[str, int, int]]":
        found = []
        for root, _, names in os.walk(folder):
            for name in names:
                status = os.lstat(os.path.join(root, name))
                found.append((os.path.join(root, name), status.st_size, status.st_mtime_ns))
        return sorted(found)

    def keep_checkpoint(self, key: str, folder: str) -> None:
        """As it is, if it has changed; one that changes while it is read is left for the next time."""
        import tarfile

        path = folder + ".tar"
        try:
            state = self._state_of(folder)
            if state == self._kept:
                return
            with tarfile.open(path, "w") as archive:
                archive.add(folder, ".")
            if self._state_of(folder) != state:
                return
        except FileNotFoundError:
            return  # the program replaced a file meanwhile
        self.put(key, path)
        self._kept = state


class AzureTransport(HttpTransport):
    """Azure's blobs, by signed URLs that are each for one blob and one purpose: no credential is ever here.

    ``root`` is the URL below which the keys are.  The working directory holds ``grants.json``, with the signatures of
    what all tasks of the run may do; ``ORCHESTRATE_GRANTS`` has those of this attempt.  On a node of Azure Batch what
    several tasks need (code, inputs) is fetched once and kept in the folder that the node's tasks share.
    """

    VERSION = "2022-11-02"
    # Bytes of one block of a large blob, and from where on a blob is sent in blocks.
    BLOCK, WHOLE = 64 << 20, 128 << 20
    # After so many additions to a log they become rarer: a blob takes 50,000 (limit of append blobs).
    FREQUENT, RARER = 10000, 10

    def __init__(self, root: str) -> None:
        node = os.environ.get("AZ_BATCH_NODE_SHARED_DIR")
        HttpTransport.__init__(
            self, root.rstrip("/"), os.path.join(node, "orchestrate") if node else os.path.abspath("cache")
        )
        with open("grants.json", "rb") as file:
            shared = json.loads(file.read().decode("utf-8"))
        # Taken out of the environment, so that the user's program does not inherit it.
        own = json.loads(os.environ.pop("ORCHESTRATE_GRANTS"))
        # Full tokens by key; what all of a document's tokens end with is in it once.
        self._tokens = {key: token + shared["tail"] for key, token in shared["keys"].items()}  # type: Dict[str, str]
        self._tokens.update({own["root"] + "/" + name: token + own["tail"] for name, token in own["own"].items()})
        if "checkpoint" in own:
            self._tokens[own["root"].rpartition("/")[0] + "/checkpoint"] = own["checkpoint"] + own["tail"]
        if "first" in own:  # the checkpoint of another trial, to start from
            self._tokens[own["first"]["key"]] = own["first"]["token"] + own["tail"]
        self._outputs = own.get("outputs")
        self._poll = float(shared["poll"])
        self._stop, self._stop_tag, self._stop_at = shared["stop"], "", 0.0
        self._stopped = set()  # type: Set[str]
        self._feed, self._feed_part, self._feed_at, self._feed_pause = shared["feed"], 0, 0.0, self._poll
        self._unfed = []  # type: List[str]
        self._grown = {}  # type: Dict[str, Tuple[float, int]]  # key -> not before, additions so far
        self._unsure = {}  # type: Dict[str, int]  # key -> bytes of an addition whose answer was lost
        self._full = set()  # type: Set[str]
        self._gpus = []  # type: List[int]  # locks that last as long as this process
        if os.environ.get("AZ_BATCH_HOST_LIST"):
            # The node where this runs first; nothing says that the list begins with it.
            here = os.environ.get("AZ_BATCH_MASTER_NODE", "").rpartition(":")[0]
            nodes = sorted(os.environ["AZ_BATCH_HOST_LIST"].split(","), key=lambda node: node != here)
            os.environ["ORCHESTRATE_NODES"] = ",".join(nodes)
        if os.environ.get("ORCHESTRATE_GPUS"):
            os.environ["CUDA_VISIBLE_DEVICES"] = self._claim_gpus(os.environ.pop("ORCHESTRATE_GPUS"))

    # -------------------------------------------------------------------------------------------------- calls

    def _url(self, key: str) -> str:
        from urllib.parse import quote

        token = self._tokens.get(key)
        if token is None and "/outputs/" in key:
            token = self._outputs
        if token is None:
            raise Failure(INFRASTRUCTURE, "This task was given no access to '%s'." % key)
        return "%s/%s?%s" % (self.root, quote(key), token)

    def _request(self, method: str, key: str, data: "Any", headers: "Any", query: "Any") -> "Any":
        import urllib.request

        known = {"x-ms-version": self.VERSION}
        if data is not None:
            known["Content-Type"] = "application/octet-stream"
        known.update(headers or {})
        return urllib.request.Request(self._url(key) + (query or ""), data=data, headers=known, method=method)

    def _call(
        self, method: str, key: str, data: "Any" = None, headers: "Any" = None, query: "Any" = None
    ) -> "Tuple[int, Any, bytes]":
        return self._answered(self._request(method, key, data, headers, query))

    def _open(self, key: str) -> "Any":
        import urllib.request

        return urllib.request.urlopen(self._request("GET", key, None, None, None), timeout=self.TIMEOUT)

    # ------------------------------------------------------------------------------------------------ fetching

    def begin(self, key: str) -> None:
        status, _, body = self._surely("DELETE", key + "/result.json")
        if status not in (202, 404):
            raise self._refused("the result of an earlier try could not be removed", status, body)

    def bring(self, source: str, target: str) -> None:
        """Also what is mounted on the node is linked."""
        if not source.startswith("mount:"):
            HttpTransport.bring(self, source, target)
            return
        place = os.path.join(os.environ.get("AZ_BATCH_NODE_MOUNTS_DIR", "/"), *source[6:].split("/"))
        if ".." in source.split("/") or not os.path.exists(place):
            raise Failure(COMMAND, "The input '%s' is not in what is mounted." % source[6:])
        os.symlink(place, target)

    def _claim_gpus(self, wanted: str) -> str:
        """GPUs of this node that no other task has, for as long as we live; ``wanted`` is ``NEED/TOTAL``."""
        import fcntl

        need, total = float(wanted.split("/")[0]), int(wanted.split("/")[1])
        shares = int(1 / need + 1e-9) if need < 1 else 1
        os.makedirs(self._cache, exist_ok=True)
        taken = []  # type: List[str]
        for number in range(total):
            for share in range(shares):
                path = os.path.join(self._cache, "gpu-%d-%d.lock" % (number, share))
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    os.close(fd)
                    continue
                self._gpus.append(fd)
                taken.append(str(number))
                if len(taken) >= need:
                    return ",".join(taken)
                break
        raise Failure(INFRASTRUCTURE, "The node has fewer free GPUs than this task was promised.")

    # ------------------------------------------------------------------------------------------------ storing

    def put(self, key: str, path: str) -> None:
        import base64

        with open(path, "rb") as file:
            if os.path.getsize(path) <= self.WHOLE:
                answer = self._surely("PUT", key, file.read(), {"x-ms-blob-type": "BlockBlob"})
            else:
                names = []  # type: List[str]
                data = file.read(self.BLOCK)
                while data:
                    name = base64.b64encode(b"%08d" % len(names)).decode()
                    answer = self._surely("PUT", key, data, None, "&comp=block&blockid=" + name)
                    if answer[0] != 201:
                        raise self._refused(key, answer[0], answer[2])
                    names.append(name)
                    data = file.read(self.BLOCK)
                listed = "".join("<Latest>%s</Latest>" % name for name in names)
                text = '<?xml version="1.0" encoding="utf-8"?><BlockList>%s</BlockList>' % listed
                answer = self._surely("PUT", key, text.encode(), None, "&comp=blocklist")
        if answer[0] != 201:
            raise self._refused(key, answer[0], answer[2])

    def grow(self, key: str, path: str, offset: int, last: bool) -> int:
        now = time.monotonic()
        not_before, additions = self._grown.get(key, (0.0, -1))
        if key in self._full:
            size = os.path.getsize(path)
            if last and offset < size:
                self.put(key, path)
            return size if last else offset
        if now < not_before and not last:
            return offset
        pause = self._poll * (self.RARER if additions > self.FREQUENT else 1)
        self._grown[key] = (now + pause, max(additions, 0))
        if additions < 0:
            # Made anew: what an earlier try on another node has left is not this one's.
            try:
                status, _, body = self._surely("PUT", key, b"", {"x-ms-blob-type": "AppendBlob"})
            except OSError:
                self._grown[key] = (now + pause, -1)
                raise
            if status != 201:
                raise self._refused(key, status, body)
        try:
            with open(path, "rb") as file:
                file.seek(offset)
                data = file.read(READ_LIMIT)
        except FileNotFoundError:
            return offset
        if not data:
            return offset
        return self._append(key, data, offset)

    def _append(self, key: str, data: bytes, offset: int) -> int:
        unsure = self._unsure.get(key, 0)
        if unsure:
            data = data[:unsure]
        self._unsure[key] = len(data)
        where = {"x-ms-blob-condition-appendpos": str(offset)}
        status, headers, body = self._surely("PUT", key, data, where, "&comp=appendblock")
        code = headers.get("x-ms-error-code", "")
        if status == 409 and code == "BlockCountExceedsLimit":
            self._full.add(key)
            return offset
        # The condition fails where an addition had arrived and only its answer was lost.
        if status != 201 and not (status == 412 and code == "AppendPositionConditionNotMet"):
            raise self._refused(key, status, body)
        del self._unsure[key]
        not_before, additions = self._grown[key]
        self._grown[key] = (0.0 if len(data) == READ_LIMIT else not_before, additions + 1)
        return offset + len(data)

    def seen(self, name: str, values: "List[Value]", last: bool) -> None:
        row = None  # type: Any
        for metric, value, step, at in values:
            if row is None or (row[1], row[2]) != (at, step) or metric in row[3]:
                if row is not None:
                    self._unfed.append(json.dumps(row))
                row = [name, at, step, {}]
            row[3][metric] = jsonable(value)
        if row is not None:
            self._unfed.append(json.dumps(row))
        now = time.monotonic()
        if not self._unfed or (now < self._feed_at and not last):
            return
        try:
            self._add_to_feed()
            self._feed_pause = self._poll
        except (OSError, Failure):
            # Too many tasks at once: less often, and not all at the same time.
            self._feed_pause = min(2 * self._feed_pause * (0.75 + 0.5 * (hash(name) % 100) / 100), 60.0)
        self._feed_at = now + self._feed_pause

    def _add_to_feed(self) -> None:
        data = ("\n".join(self._unfed[:1000]) + "\n").encode("utf-8")
        made = False
        while "%s%02d.jsonl" % (self._feed, self._feed_part) in self._tokens:
            part = "%s%02d.jsonl" % (self._feed, self._feed_part)
            status, headers, body = self._call("PUT", part, data, None, "&comp=appendblock")
            if status == 201:
                break
            if status == 404 and not made:
                made = True
                self._call("PUT", part, b"", {"x-ms-blob-type": "AppendBlob", "If-None-Match": "*"})
            elif status == 409 and headers.get("x-ms-error-code") == "BlockCountExceedsLimit":
                self._feed_part, made = self._feed_part + 1, False
            else:
                raise self._refused("the feed", status, body)
        del self._unfed[:1000]

    def stopping(self, name: str) -> bool:
        now = time.monotonic()
        if now < self._stop_at:
            return name in self._stopped
        self._stop_at = now + self._poll
        try:
            known = {"If-None-Match": self._stop_tag} if self._stop_tag else {}
            status, headers, body = self._call("GET", self._stop, None, known)
        except OSError:
            return False
        if status == 200:
            self._stop_tag = headers.get("ETag", "")
            self._stopped = set(json.loads(body.decode("utf-8")))
        return name in self._stopped


class S3Calls(object):
    """Signed calls to one bucket (Signature Version 4 of the AWS General Reference), with the task's own role.

    ``root`` is ``s3://BUCKET/PREFIX``.  Credentials come from the container's endpoint where there is one, else from
    the environment.  This class is also sent alone, as text, to fetch the runner: it uses nothing of this file.
    """

    def __init__(self, root: str, environ: "Any") -> None:
        from urllib.parse import urlsplit

        parts = urlsplit(root)
        bucket, prefix = parts.netloc, parts.path.strip("/")
        region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        endpoint = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL")
        domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        if endpoint:
            base = "%s/%s" % (endpoint.rstrip("/"), bucket)
        elif "." in bucket:  # no certificate is for such a host
            base = "https://s3.%s.%s/%s" % (region, domain, bucket)
        else:
            base = "https://%s.s3.%s.%s" % (bucket, region, domain)
        self.bucket = base
        self.prefix = prefix + "/" if prefix else ""
        self._region, self._environ = region, environ
        self._keys, self._until = None, 0.0  # type: Any, float

    def _credentials(self) -> "Any":
        import calendar
        import json
        import time
        import urllib.request

        env = self._environ
        relative, full = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"
        if not (env.get(relative) or env.get(full)):
            if not env.get("AWS_ACCESS_KEY_ID"):
                raise OSError("this task has no credentials: its job definition needs a role (jobRoleArn)")
            return env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], env.get("AWS_SESSION_TOKEN")
        if self._keys is None or time.time() > self._until - 300:
            url = "http://169.254.170.2" + env[relative] if env.get(relative) else env[full]
            token = env.get("AWS_CONTAINER_AUTHORIZATION_TOKEN")
            if env.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"):
                with open(env["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]) as file:
                    token = file.read().strip()
            request = urllib.request.Request(url, headers={"Authorization": token} if token else {})
            with urllib.request.urlopen(request, timeout=10) as answer:
                told = json.loads(answer.read().decode("utf-8"))
            self._keys = told["AccessKeyId"], told["SecretAccessKey"], told.get("Token")
            expires = time.strptime(told["Expiration"][:19], "%Y-%m-%dT%H:%M:%S")
            self._until = float(calendar.timegm(expires))
        return self._keys

    def request(self, method: str, key: str, query: "Any" = None, data: "Any" = None, headers: "Any" = None) -> "Any":
        """A signed request for a key, or for the bucket where ``key`` is None."""
        import hashlib
        import hmac
        import time
        import urllib.request
        from urllib.parse import quote, urlsplit

        access, secret, token = self._credentials()
        parts = urlsplit(self.bucket)
        path = parts.path + ("/" + quote(self.prefix + key, safe="/-_.~") if key is not None else "/")
        pairs = sorted((quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in (query or {}).items())
        asked = "&".join("%s=%s" % pair for pair in pairs)
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        digest = hashlib.sha256(data or b"").hexdigest()
        signed = {"host": parts.netloc, "x-amz-content-sha256": digest, "x-amz-date": stamp}
        if token:
            signed["x-amz-security-token"] = token
        names = ";".join(sorted(signed))
        listed = "".join("%s:%s\n" % (name, signed[name]) for name in sorted(signed))
        text = "\n".join((method, path, asked, listed, names, digest))
        scope = "%s/%s/s3/aws4_request" % (stamp[:8], self._region)
        string = "\n".join(("AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(text.encode("utf-8")).hexdigest()))
        signing = ("AWS4" + secret).encode("utf-8")
        for part in scope.split("/") + [string]:
            mac = hmac.new(signing, part.encode("utf-8"), hashlib.sha256)
            signing = mac.digest()
        credential = "Credential=%s/%s, SignedHeaders=%s, Signature=%s" % (access, scope, names, mac.hexdigest())
        known = {name: value for name, value in signed.items() if name != "host"}
        known["Authorization"] = "AWS4-HMAC-SHA256 " + credential
        if data is not None:
            known["Content-Type"] = "application/octet-stream"
        known.update(headers or {})
        url = "%s://%s%s" % (parts.scheme, parts.netloc, path)
        return urllib.request.Request(url + ("?" + asked if asked else ""), data=data, headers=known, method=method)


class S3Transport(HttpTransport):
    """A bucket of S3, with the role of the task.  ``root`` is ``s3://BUCKET/PREFIX``; see :class:`S3Calls`.

    Objects do not grow, so a log is stored in parts below ``log/TRY/`` while its program runs and as a whole at the
    end.  What becomes of the tasks is told by small objects below ``runs/RUN/feed``, which are listed in order of time:
    ``MILLISECONDS.TASK.NUMBER.KIND.CONTENT``, where CONTENT is base64 and stands in the name itself where it fits.
    """

    # Bytes of one part of a large object, and from where on an object is sent in parts.
    PART, WHOLE = 64 << 20, 128 << 20
    # After so many parts a log's parts become rarer.
    FREQUENT, RARER = 100, 10
    # Bytes of content that a name takes: it has 1,024 at most.
    NAMED = 480

    def __init__(self, root: str) -> None:
        self._gone = set()  # type: Set[str]  # logs that are stored as a whole
        self._calls = S3Calls(root, dict(os.environ))
        self._poll = float(os.environ.get("ORCHESTRATE_POLL", "5"))
        HttpTransport.__init__(self, root, os.path.abspath("cache"))
        self._key = self._run = ""
        self._try = os.environ.get("AWS_BATCH_JOB_ATTEMPT", "1")
        self._parts = {}  # type: Dict[str, Tuple[float, List[str]]]  # key -> not before, its parts
        self._number = 0
        self._unfed = []  # type: List[Any]
        self._feed_at, self._feed_pause = 0.0, self._poll
        self._stop_tag, self._stop_at, self._stopped = "", 0.0, set()  # type: str, float, Set[str]

    def _call(
        self, method: str, key: "Any", data: "Any" = None, headers: "Any" = None, query: "Any" = None
    ) -> "Tuple[int, Any, bytes]":
        return self._answered(self._calls.request(method, key, query, data, headers))

    def _open(self, key: str) -> "Any":
        import urllib.request

        return urllib.request.urlopen(self._calls.request("GET", key), timeout=self.TIMEOUT)

    def begin(self, key: str) -> None:
        self._key, self._run = key, "/".join(key.split("/")[:2])
        for name in ("result.json", "stdout.txt", "stderr.txt"):
            status, _, body = self._surely("DELETE", key + "/" + name)
            if status not in (200, 204, 404):
                raise self._refused("what an earlier try left could not be removed", status, body)

    def bring(self, source: str, target: str) -> None:
        """Also an object of any bucket, or all that lie below a folder, as far as the task's role may read them."""
        if not source.startswith("s3://"):
            HttpTransport.bring(self, source, target)
            return
        bucket, _, key = source[5:].partition("/")
        place = key[:-1] if key.endswith("/") else key
        if place and not self._is_path(place):
            raise Failure(COMMAND, "The input '%s' is no name that a file can have." % source)
        other = S3Transport("s3://" + bucket)
        status = 404
        if key == place and key:
            status, _, body = other._surely("HEAD", key)
            if status == 200:
                other._bring_object(key, target)
                return
            if status not in (403, 404):  # S3 forbids to see what is not there to those who may not list
                raise other._closed(status, body)
        below = place + "/" if place else ""
        names = [name for name in other._listed(below) if not name.endswith("/")]  # consoles' marks of folders
        if not names and status == 403:
            raise other._closed(status, b"")
        if not names:
            raise Failure(COMMAND, "There is no object and no folder '%s'." % source)
        for name in names:
            if not self._is_path(name[len(below) :]):
                raise Failure(COMMAND, "The object '%s' of s3://%s has no name that a file can have." % (name, bucket))
            path = os.path.join(target, *name[len(below) :].split("/"))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            other._bring_object(name, path)

    @staticmethod
    def _is_path(key: str) -> bool:
        return not {"", ".", ".."}.intersection(key.split("/")) and "\0" not in key

    def _bring_object(self, key: str, path: str) -> None:
        try:
            self._fetch("%s/%s" % (self.root, key), lambda: self._open(key), path)
        except OSError as error:
            if getattr(error.__context__, "code", 0) == 403:
                raise self._closed(403, b"")
            raise

    def _listed(self, prefix: str) -> "Iterator[str]":
        """Every key that begins so."""
        from xml.etree import ElementTree

        query = {"list-type": "2", "prefix": prefix}
        while True:
            status, _, body = self._surely("GET", None, query=query)
            if status == 404:
                raise Failure(COMMAND, "There is no bucket %s." % self.root)
            if status != 200:
                raise self._closed(status, body)
            token = ""
            for entry in ElementTree.fromstring(body).iter():
                tag = entry.tag.rpartition("}")[2]
                if tag == "Key":
                    yield entry.text or ""
                elif tag == "NextContinuationToken":
                    token = entry.text or ""
            if not token:
                return
            query["continuation-token"] = token

    def _closed(self, status: int, body: bytes) -> Failure:
        import re

        code = re.search("<Code>(.*?)</Code>", body.decode("utf-8", "replace"))
        reason = (
            "The bucket %s cannot be read (S3 answered %d%s): the role of the tasks must be allowed s3:GetObject and "
            "s3:ListBucket there, and it must lie in the region of the run."
        )
        return Failure(COMMAND, reason % (self.root, status, " " + code.group(1) if code else ""))

    # ------------------------------------------------------------------------------------------------ storing

    def put(self, key: str, path: str) -> None:
        with open(path, "rb") as file:
            if os.path.getsize(path) > self.WHOLE:
                self._put_parts(key, file)
            else:
                self._put_bytes(key, file.read())

    def _put_bytes(self, key: str, data: bytes) -> None:
        status, _, body = self._surely("PUT", key, data)
        if status != 200:
            raise self._refused(key, status, body)

    def _put_parts(self, key: str, file: "Any") -> None:
        import re

        def surely(method: str, query: "Dict[str, str]", data: "Optional[bytes]") -> "Tuple[Any, bytes]":
            deadline, pause = time.monotonic() + self.PATIENCE, 0.5
            while True:
                try:
                    status, headers, body = self._call(method, key, data, None, query)
                    if status == 200 and b"<Error>" not in body:  # completing can fail after its headers
                        return headers, body
                    raise self._refused(key, status, body)
                except OSError:
                    if self.hurried or time.monotonic() > deadline:
                        raise
                time.sleep(pause)
                pause = min(2 * pause, self.PAUSE)

        started = re.search(b"<UploadId>([^<]+)</UploadId>", surely("POST", {"uploads": ""}, b"")[1])
        if started is None:
            raise OSError("%s: S3 did not begin an upload in parts" % key)
        upload = started.group(1).decode()
        listed, number = "", 0
        data = file.read(self.PART)
        while data:
            number += 1
            headers = surely("PUT", {"partNumber": str(number), "uploadId": upload}, data)[0]
            listed += "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>" % (number, headers["ETag"])
            data = file.read(self.PART)
        document = "<CompleteMultipartUpload>%s</CompleteMultipartUpload>" % listed
        surely("POST", {"uploadId": upload}, document.encode("utf-8"))

    def grow(self, key: str, path: str, offset: int, last: bool) -> int:
        not_before, parts = self._parts.get(key, (0.0, []))
        try:
            size = os.path.getsize(path)
        except FileNotFoundError:
            return offset
        if last:
            if key not in self._gone:
                self.put(key, path)
                self._gone.add(key)
                self._remove(parts)
            return size
        now = time.monotonic()
        if offset == size or now < not_before:
            return offset
        self._parts[key] = (now + self._poll * (self.RARER if len(parts) > self.FREQUENT else 1), parts)
        with open(path, "rb") as file:
            file.seek(offset)
            data = file.read(READ_LIMIT)
        folder, _, name = key.rpartition("/")
        part = "%s/log/%s/%s/%015d" % (folder, self._try, name, offset)
        self._put_bytes(part, data)
        parts.append(part)
        return offset + len(data)

    def _remove(self, keys: "List[str]") -> None:
        """Not worth an error: they are shadowed by the whole."""
        import base64
        import hashlib
        from xml.sax.saxutils import escape

        for start in range(0, len(keys), 1000):
            some = keys[start : start + 1000]
            listed = "".join("<Object><Key>%s</Key></Object>" % escape(self._calls.prefix + key) for key in some)
            data = ("<Delete><Quiet>true</Quiet>%s</Delete>" % listed).encode("utf-8")
            digest = base64.b64encode(hashlib.md5(data).digest()).decode()
            try:
                self._call("POST", None, data, {"Content-MD5": digest}, {"delete": ""})
            except OSError:
                return

    # -------------------------------------------------------------------------------------------------- telling

    def _tell(self, name: str, kind: str, content: "Any", surely: bool) -> None:
        import base64

        data = strict_json(content).encode("utf-8") if content is not None else b""
        self._number += 1
        head = "%s/feed/%013d.%s.%06d.%s" % (self._run, time.time() * 1000, name, self._number, kind)
        if len(data) > self.NAMED:
            key, body = head + "b.", data
        else:
            key, body = "%s.%s" % (head, base64.urlsafe_b64encode(data).decode()), b""
        status, _, answer = (self._surely if surely else self._call)("PUT", key, body)
        if status != 200:
            raise self._refused(key, status, answer)

    def began(self, name: str) -> None:
        self._tell(name, "r", None, True)

    def ended(self, name: str, result: "Json") -> None:
        if result["cause"] == PREEMPTED:
            return  # the service says whether this was the end or whether it is tried again on another machine
        told = {word: result[word] for word in ("cause", "exit_code", "signal", "started", "finished")}
        self._tell(name, "e", told, True)

    def seen(self, name: str, values: "List[Value]", last: bool) -> None:
        for metric, value, step, at in values:
            row = self._unfed[-1] if self._unfed else None
            if row is None or (row[0], row[1]) != (at, step) or metric in row[2]:
                row = [at, step, {}]
                self._unfed.append(row)
            row[2][metric] = jsonable(value)
        now = time.monotonic()
        if not self._unfed or (now < self._feed_at and not last):
            return
        try:
            while self._unfed:
                self._tell(name, "m", self._unfed[:200], False)
                del self._unfed[:200]
            self._feed_pause = self._poll
        except OSError:
            # Too many tasks at once: less often, and not all at the same time.
            self._feed_pause = min(2 * self._feed_pause * (0.75 + 0.5 * (hash(name) % 100) / 100), 60.0)
        self._feed_at = now + self._feed_pause

    def stopping(self, name: str) -> bool:
        now = time.monotonic()
        if now < self._stop_at:
            return name in self._stopped
        self._stop_at = now + self._poll
        try:
            known = {"If-None-Match": self._stop_tag} if self._stop_tag else {}
            status, headers, body = self._call("GET", self._run + "/stop.json", None, known)
        except OSError:
            return name in self._stopped
        if status == 200:
            self._stop_tag = headers.get("ETag", "")
            self._stopped = set(json.loads(body.decode("utf-8")))
        return name in self._stopped


def digest_of(path: str) -> str:
    """SHA-256 of a file, hexadecimal."""
    import hashlib

    digest = hashlib.sha256()
    with open(path, "rb") as file:
        data = file.read(1 << 20)
        while data:
            digest.update(data)
            data = file.read(1 << 20)
    return digest.hexdigest()


TRANSPORTS = {"file": FileTransport, "azure": AzureTransport, "s3": S3Transport}  # type: Dict[str, Callable[[str], Transport]]


# ------------------------------------------------------------------------------------------ in a container


class Container(Place):
    """A container or a rented node: everything comes from and goes to the object store."""

    def __init__(self, job: "Json", task: "Json", transport: Transport, scratch: str, heartbeat: float) -> None:
        self.environ = dict(os.environ)
        self.transport = transport
        self.folder = os.path.join(scratch, "attempt")
        self.shim = write_shim(os.path.join(scratch, "shim"))
        self._job = job
        self._task = task
        self._scratch = scratch
        self._key = attempt_key(job["run"], task["trial"], task["attempt"])
        self._interval = heartbeat
        self._beat_at = 0.0
        self._logs = {"stdout.txt": 0, "stderr.txt": 0}
        self._checkpoint = ""
        self._checkpoint_at = 0.0

    def execute(self, wake: Wake) -> "Json":
        """Run the attempt and store all that it leaves, ``result.json`` last; returns the result."""
        os.mkdir(self.folder)
        self.transport.begin(self._key)
        self.transport.began(self._task["name"])
        text = Attempt(self._job, self._task, self.folder, self, wake).run()
        self._ship(last=True)
        result = json.loads(text)  # type: Json
        if self._checkpoint:
            self.transport.keep_checkpoint(checkpoint_key(self._job["run"], self._task["trial"]), self._checkpoint)
        names = ["params.json", "metrics.jsonl"] + ["outputs/" + path for path in result["outputs"]]
        for name in names + ["result.json"]:
            path = os.path.join(self.folder, *name.split("/"))
            if os.path.exists(path):
                self.transport.put("%s/%s" % (self._key, name), path)
        self.transport.ended(self._task["name"], result)
        return result

    def fill(self, digest: str, work: str) -> None:
        self.transport.bundle(digest, work)

    def bring(self, source: str, target: str) -> None:
        self.transport.bring(source, target)

    def checkpoint(self, trial: int, parent: "Optional[int]") -> str:
        folder = os.path.join(self._scratch, "checkpoint")
        first = None if parent is None else checkpoint_key(self._job["run"], parent)
        self._checkpoint = self.transport.checkpoint(checkpoint_key(self._job["run"], trial), folder, first)
        self._checkpoint_at = time.monotonic() + self._interval
        return self._checkpoint

    def seen(self, values: "List[Value]", wait: bool) -> bool:
        self.transport.seen(self._task["name"], values, wait)
        return True

    def look(self, attempt: Attempt) -> "Optional[Stop]":
        import signal

        self.transport.hurried = True
        try:
            self._ship(last=False)
            self._beat(attempt, time.monotonic())
        except OSError:
            pass  # the store could not be reached: at a later look, and for sure at the end
        finally:
            self.transport.hurried = False
        self.transport.seen(self._task["name"], [], False)
        if self.transport.stopping(self._task["name"]):
            return Stop(CANCELLED, "The run has asked for its end.")
        if signal.SIGTERM in attempt.wake.caught:
            attempt.wake.caught.discard(signal.SIGTERM)
            # Whoever asked us to cancel knows that; for everyone else the machine is being taken away.
            return Stop(PREEMPTED, "The runner was told to end by SIGTERM.")
        return None

    def _beat(self, attempt: Attempt, now: float) -> None:
        if now >= self._beat_at:
            self._beat_at = now + self._interval
            beat = {"version": VERSION, "at": time.time(), "memory": attempt.memory, "peak_memory": attempt.peak}
            path = os.path.join(self.folder, "heartbeat.json")
            replace_file(path, strict_json(beat).encode("utf-8"))
            self.transport.put(self._key + "/heartbeat.json", path)
        if self._checkpoint and now >= self._checkpoint_at:
            self._checkpoint_at = now + self._interval
            self.transport.keep_checkpoint(checkpoint_key(self._job["run"], self._task["trial"]), self._checkpoint)

    def _ship(self, last: bool) -> None:
        for name, offset in self._logs.items():
            path = os.path.join(self.folder, name)
            while True:
                reached = self.transport.grow("%s/%s" % (self._key, name), path, offset, last)
                self._logs[name], before, offset = reached, offset, reached
                if reached == before or not last:
                    break


def main(arguments: "Optional[Sequence[str]]" = None) -> int:
    """Run one task; returns 0 when it succeeded, its own exit code when it ended with another or by a signal.

    Two further codes are no program's: OTHERWISE when it failed in another way, which ``result.json`` tells, and
    NOT_STORED when nothing could be stored.
    """
    import argparse
    import shutil
    import signal
    import tempfile

    parser = argparse.ArgumentParser(description="Run one task of a run and store what it leaves.")
    parser.add_argument("--transport", choices=sorted(TRANSPORTS), default="file", help="how to reach the store")
    parser.add_argument("--store", required=True, help="where the store is; for file: its folder")
    parser.add_argument("--job", required=True, metavar="KEY", help="key of the job document")
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--task", metavar="FILE", help="a file on this machine with the task")
    task.add_argument("--tasks", metavar="KEY", help="key of an object with a task a line, see --index")
    parser.add_argument("--index", type=int, default=0, help="which line of --tasks, from 0")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--scratch", metavar="FOLDER", help="where to make a folder to work in (default: temporary)")
    where.add_argument("--folder", metavar="FOLDER", help="the folder to work in; it must not exist")
    parser.add_argument("--heartbeat", type=float, default=15.0, metavar="SECONDS")
    options = parser.parse_args(arguments)

    wake = Wake([signal.SIGTERM])
    adopt_orphans()
    if options.folder:
        scratch = os.path.abspath(options.folder)
        os.mkdir(scratch)
    else:
        scratch = os.path.abspath(tempfile.mkdtemp(prefix="orchestrate-", dir=options.scratch))
    try:
        transport = TRANSPORTS[options.transport](options.store)
        job = json.loads(transport.get(options.job).decode("utf-8"))
        if options.task:
            text = read_whole(options.task)
        else:
            lines = transport.get(options.tasks).splitlines()
            if not 0 <= options.index < len(lines):
                sys.stderr.write("runner: there is no task %d in %s\n" % (options.index, options.tasks))
                return NOT_STORED
            text = lines[options.index]
        place = Container(job, json.loads(text.decode("utf-8")), transport, scratch, options.heartbeat)
        result = place.execute(wake)
    except (OSError, ValueError, KeyError, Failure) as error:
        sys.stderr.write("runner: %s: %s\n" % (type(error).__name__, error))
        return NOT_STORED
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if result["cause"] is None:
        return 0
    sys.stderr.write("runner: %s\n" % result["reason"])
    if result["cause"] != EXIT_CODE:
        return OTHERWISE
    return result["exit_code"] or (128 + result["signal"] if result["signal"] else OTHERWISE)


if __name__ == "__main__":
    sys.exit(main())
