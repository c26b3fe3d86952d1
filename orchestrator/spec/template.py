"""Texts with placeholders: ``--lr {lr}``.

Only an identifier in braces is a placeholder.  All other braces are literal: ``${HOME}``, ``{"a": 1}``,
``{1..3}``, ``{}``, ``{{name}}``.  For the text ``{name}`` write ``\\{name}``: the shell removes the backslash itself,
and everywhere else :func:`compile` does.

In a shell command each value is inserted as one quoted word.  That is safe only where the shell expects a word,
so :func:`compile_shell` follows the shell's own quoting around each placeholder and refuses one that stands inside
quotes, a comment, a here-document, ``${...}`` or arithmetic.  Where shells differ in what is quoted, it refuses too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_BACKSLASHED = re.compile(r"\\\{[A-Za-z_][A-Za-z0-9_]*\}", re.ASCII)
_BRACED = re.compile(r"(\{+)([A-Za-z_][A-Za-z0-9_]*)(\}+)", re.ASCII)
_CASE = re.compile(r"case(?=[\s\\])")
_OPEN_TEST = re.compile(r"\[\[(?=\s)")
_CLOSE_TEST = re.compile(r"\]\](?=[\s;&|)]|$)")
_DELIMITER = re.compile(r"<<(-?)[ \t]*((?:'[^'\n]*'|\"[^\"\n]*\"|\\.|[^\s;&|<>()'\"\\])+)")

_HINTS = {
    "inside backquotes": "write $(...) instead",
    "inside [[...]]": "write [ ... ] instead",
    "in a comment": "remove it",
    "in a here-document": "every trial finds its parameters in the JSON file $ORCHESTRATE_PARAMS",
}


@dataclass(frozen=True, slots=True)
class Name:
    """A placeholder: a parameter, or ``run``, ``trial`` or ``attempt``."""

    name: str


@dataclass(frozen=True, slots=True)
class Template:
    """Literal texts and placeholders, in order."""

    parts: tuple[str | Name, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The placeholders' names, each once, in order."""
        return tuple(dict.fromkeys(part.name for part in self.parts if isinstance(part, Name)))

    def after(self, text: str) -> Template:
        """This template with a literal text before it."""
        return Template(_merged([text, *self.parts]))

    def to_json(self) -> list[str | dict[str, str]]:
        """The form that the runner renders: a text stands for itself, ``{"name": NAME}`` for a value."""
        return [part if isinstance(part, str) else {"name": part.name} for part in self.parts]


@dataclass(frozen=True, slots=True)
class Fault:
    """A placeholder that stands where no value can, or a command that the shell cannot read (``name`` is empty)."""

    name: str
    message: str
    hint: str


class TemplateError(ValueError):
    """The text cannot be used as a template; ``faults`` says why."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(f"{fault.message}: {fault.hint}" for fault in faults))


def compile(text: str) -> Template:
    """The template of a text whose values are inserted as they are: a word of a list, a variable, a path."""
    parts: list[str | Name] = []
    for literal, name in _pieces(text, _escaped(text)):
        parts.append(_BACKSLASHED.sub(lambda match: match[0][1:], literal))
        if name is not None:
            parts.append(Name(name))
    return Template(_merged(parts))


def compile_shell(text: str) -> Template:
    """The template of a shell command whose values are inserted as quoted words.  Raises TemplateError.

    A placeholder after a backslash is none: the shell reads ``\\{name}`` as the text ``{name}``.
    """
    scan = _Shell(text)
    faults = scan.faults
    if faults:
        raise TemplateError(faults)
    parts: list[str | Name] = []
    for literal, name in _pieces(text, scan.escaped):
        parts.append(literal)
        if name is not None:
            parts.append(Name(name))
    return Template(_merged(parts))


def names_in(text: str, *, shell: bool) -> tuple[str, ...]:
    """The placeholders of a text, also of one that cannot be compiled."""
    escaped = _Shell(text).escaped if shell else _escaped(text)
    return tuple(dict.fromkeys(name for _, name in _pieces(text, escaped) if name is not None))


def faults_in(text: str) -> list[Fault]:
    """What is wrong with a shell command; empty when it can be compiled."""
    return _Shell(text).faults


def _pieces(text: str, escaped: frozenset[int]) -> Iterator[tuple[str, str | None]]:
    """Literal texts, each followed by a placeholder's name or by None.  ``escaped`` are offsets to leave alone."""
    done = 0
    for match in _BRACED.finditer(text):
        start, end = match.span()
        if text[start - 1 : start] == "$" or start in escaped:
            continue
        if min(len(match[1]), len(match[3])) > 1:
            continue
        yield text[done:start] + match[1][1:], match[2]
        yield match[3][1:], None
        done = end
    yield text[done:], None


def _escaped(text: str) -> frozenset[int]:
    """Offsets of braces after a backslash, in a text that no shell reads."""
    return frozenset(match.start() + 1 for match in _BACKSLASHED.finditer(text))


def _merged(parts: list[str | Name]) -> tuple[str | Name, ...]:
    merged: list[str | Name] = []
    for part in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        elif part != "":
            merged.append(part)
    return tuple(merged)


class _Shell:
    """One pass over a command, keeping what the shell would have open at each point.

    The grammar is that of POSIX with bash's ``$'...'``, ``$"..."``, ``((...))``, ``[[...]]`` and ``<<<``.  ``unsure``
    is set where shells differ about what follows; from there on every placeholder is refused.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.open = ["word"]
        self.depths: list[int] = []
        self.unsure = ""
        self.word_start = True
        self.in_test = False
        self.heredocs: list[tuple[str, bool]] = []
        self.escaped: frozenset[int] = frozenset()
        self.faults: list[Fault] = []
        self.braces = {match.start(): match for match in _BRACED.finditer(text)}
        self.scan()

    def scan(self) -> None:
        while self.at < len(self.text):
            if self.placeholder():
                continue
            mode = self.open[-1]
            if mode == "double":
                self.in_double()
            elif mode == "braces":
                self.in_braces()
            elif mode == "arithmetic":
                self.in_arithmetic()
            else:
                self.in_words()
        if not self.unsure and len(self.open) > 1:
            what = {"double": 'a double quote (")', "braces": "${", "arithmetic": "'(('"}
            unclosed = what.get(self.open[-1], "a bracket '('")
            self.faults.append(Fault("", f"{unclosed} is not closed", "the shell could not read this command"))

    def placeholder(self) -> bool:
        """Step over a placeholder that begins here."""
        match = self.braces.get(self.at)
        if match is None or self.text[self.at - 1 : self.at] == "$":
            return False
        self.refuse(match, self.why_not())
        # Braces that close more than was opened may belong to a `${` around it.
        self.at = match.end() - max(0, len(match[3]) - len(match[1]))
        self.word_start = False
        return True

    def why_not(self) -> str:
        if self.unsure:
            return self.unsure
        if "arithmetic" in self.open:
            return "inside arithmetic"
        inner = self.open[-1]
        if inner == "double":
            return "inside double quotes"
        if inner == "braces":
            return "inside ${...}"
        if self.in_test:
            return "inside [[...]]"
        return ""

    def refuse(self, match: re.Match[str], why: str) -> None:
        """Note that this placeholder cannot stand here; nothing to note where it is none, or where it can."""
        if not why or min(len(match[1]), len(match[3])) % 2 == 0 or self.text[match.start() - 1 : match.start()] == "$":
            return
        name = match[2]
        if why in ("inside single quotes", "inside double quotes"):
            around = self.text[match.start() - 1 : match.start()] + self.text[match.end() : match.end() + 1]
            hint = "drop the quotes" if around in ("''", '""') else "end the quotes before it"
            hint += ": the value is quoted for you"
        else:
            hint = _HINTS.get(why, "put this part into a script and give it the value as an argument")
        self.faults.append(Fault(name, f"{{{name}}} stands {why}", hint))

    def refuse_until(self, end: int, why: str) -> None:
        """Refuse the placeholders from here to ``end``, and go there."""
        for start, match in self.braces.items():
            if self.at <= start < end:
                self.refuse(match, self.unsure or why)
        if self.heredocs and "\n" in self.text[self.at : end]:
            self.doubt("after a here-document whose line breaks inside quotes")
        self.at = end
        self.word_start = False

    def doubt(self, why: str) -> None:
        self.unsure = self.unsure or why

    def escape(self) -> None:
        """Step over a backslash and what it escapes."""
        if self.at + 1 in self.braces:
            match = self.braces[self.at + 1]
            self.escaped |= {match.start()}
            self.at = match.end()
        else:
            self.at += 2
        self.word_start = False

    def in_words(self) -> None:
        text, at = self.text, self.at
        char = text[at]
        if char == "\\":
            starts = self.word_start and text[at + 1 : at + 2] == "\n"
            self.escape()
            self.word_start = starts
        elif char == "'":
            self.single(at + 1)
        elif char == '"':
            self.enter("double", 1)
        elif char == "`":
            self.backquotes()
        elif char == "$":
            self.dollar()
        elif char == "#" and self.word_start:
            end = text.find("\n", at)
            self.refuse_until(len(text) if end < 0 else end, "in a comment")
        elif char == "(":
            if text.startswith("((", at) and self.word_start:
                self.arithmetic(2)
            else:
                self.enter("bracket", 1)
                self.word_start = True
        elif char == ")":
            if self.open[-1] == "bracket":
                self.open.pop()
            self.step(starts_word=True)
        elif char == "<" and text.startswith("<<", at):
            self.heredoc()
        elif char == "\n":
            self.step(starts_word=True)
            self.bodies()
        elif char in " \t;&|<>":
            self.step(starts_word=True)
        else:
            self.word(at)

    def word(self, at: int) -> None:
        if self.word_start:
            if self.open[-1] == "bracket" and _CASE.match(self.text, at):
                self.doubt("after a 'case' inside brackets")
            if _OPEN_TEST.match(self.text, at):
                self.in_test = True
            elif _CLOSE_TEST.match(self.text, at):
                self.in_test = False
        self.step(starts_word=False)

    def in_double(self) -> None:
        char = self.text[self.at]
        if char == "\\":
            self.escape()
        elif char == '"':
            self.leave()
        elif char == "`":
            self.backquotes()
        elif char == "$" and self.text[self.at + 1 : self.at + 2] in ("(", "{", "["):
            self.dollar()
        else:
            self.newline_in_quotes(char)
            self.step(starts_word=False)

    def in_braces(self) -> None:
        char = self.text[self.at]
        quoted = "double" in self.open
        if char == "\\":
            self.escape()
        elif char == "}":
            self.leave()
        elif quoted and char in "'\"":
            self.doubt("after quotes inside a quoted ${...}")
            self.step(starts_word=False)
        elif char == "'":
            self.single(self.at + 1)
        elif char == '"':
            self.enter("double", 1)
        elif char == "`":
            self.backquotes()
        elif char == "$" and not (quoted and self.text[self.at + 1 : self.at + 2] in ("'", '"')):
            self.dollar()
        else:
            self.newline_in_quotes(char)
            self.step(starts_word=False)

    def in_arithmetic(self) -> None:
        char = self.text[self.at]
        if char == "\\":
            self.escape()
        elif char in "'\"":
            self.doubt("after quotes inside arithmetic")
            self.step(starts_word=False)
        elif char == "\n" or (char == "#" and self.word_start):
            # Perhaps no arithmetic at all but one subshell in another, with a comment or a here-document.
            self.doubt("after a line break or '#' inside '(('")
            self.step(starts_word=False)
        elif char == "`":
            self.backquotes()
        elif char == "$":
            self.dollar()
        elif char in "()":
            self.depths[-1] += 1 if char == "(" else -1
            self.step(starts_word=True)
            if self.depths[-1] == 0:
                self.depths.pop()
                self.open.pop()
        else:
            self.step(starts_word=char.isspace())

    def dollar(self) -> None:
        text, at = self.text, self.at
        follow = text[at + 1 : at + 2]
        if text.startswith("$((", at):
            self.arithmetic(3)
        elif follow == "(":
            self.enter("bracket", 2)
            self.word_start = True
        elif follow == "{":
            self.enter("braces", 2)
        elif follow == "[":
            self.doubt("after $[, which is arithmetic in some shells")
            self.step(starts_word=False)
        elif follow == "'" and self.open[-1] != "double":
            self.ansi_quotes()
        elif follow == '"' and self.open[-1] != "double":
            self.enter("double", 2)
        else:
            # `$$`, `$#` and the like: what follows begins no word.
            self.at += 2 if follow in ("$", "#", "!", "?", "@", "*", "-") else 1
            self.word_start = False

    def single(self, begin: int) -> None:
        end = self.text.find("'", begin)
        if end < 0:
            self.unclosed("a single quote (')")
        else:
            self.refuse_until(end + 1, "inside single quotes")

    def ansi_quotes(self) -> None:
        end = self.text.find("'", self.at + 2)
        if end < 0:
            self.unclosed("a single quote (')")
            return
        self.refuse_until(end + 1, "inside single quotes")
        if self.text[end - 1] == "\\":
            self.doubt("after $'...' with an escaped quote, which not every shell knows")

    def backquotes(self) -> None:
        at = self.at + 1
        while at < len(self.text) and self.text[at] != "`":
            at += 2 if self.text[at] == "\\" else 1
        if at >= len(self.text):
            self.unclosed("a backquote (`)")
        else:
            self.refuse_until(at + 1, "inside backquotes")

    def unclosed(self, what: str) -> None:
        if self.unsure:
            self.refuse_until(len(self.text), "")
        else:
            self.faults.append(Fault("", f"{what} is not closed", "the shell could not read this command"))
            self.at = len(self.text)
            self.open = ["word"]

    def heredoc(self) -> None:
        if self.text.startswith("<<<", self.at):
            self.at += 3
            self.word_start = True
            return
        match = _DELIMITER.match(self.text, self.at)
        if match is None:
            self.doubt("after << without a word")
            self.at += 2
            return
        if len(self.open) > 1:
            self.doubt("after a here-document inside brackets")
        delimiter = re.sub(r"\\(.)|['\"]", r"\1", match[2])
        self.refuse_until(match.end(), "in a here-document")
        self.heredocs.append((delimiter, bool(match[1])))

    def bodies(self) -> None:
        """Step over the bodies of the here-documents that begin after this line."""
        pending, self.heredocs = self.heredocs, []
        if pending and len(self.open) > 1:
            self.doubt("after a here-document that begins inside brackets")
        for delimiter, tabs in pending:
            at = self.at
            while at < len(self.text):
                end = self.text.find("\n", at)
                end = len(self.text) if end < 0 else end
                line = self.text[at:end]
                at = end + 1
                if (line.lstrip("\t") if tabs else line) == delimiter:
                    break
            self.refuse_until(min(at, len(self.text)), "in a here-document")
            self.word_start = True

    def arithmetic(self, width: int) -> None:
        self.depths.append(2)
        self.enter("arithmetic", width)

    def enter(self, mode: str, width: int) -> None:
        self.open.append(mode)
        self.at += width
        self.word_start = False

    def leave(self) -> None:
        self.open.pop()
        self.step(starts_word=False)

    def step(self, *, starts_word: bool) -> None:
        self.at += 1
        self.word_start = starts_word

    def newline_in_quotes(self, char: str) -> None:
        if char == "\n" and self.heredocs:
            self.doubt("after a here-document whose line breaks inside quotes")
