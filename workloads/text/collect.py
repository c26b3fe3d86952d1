"""Make `corpus.tsv` from the documentation that SciPy's functions carry: topic, function, text (one a line).

    python -m text.collect > text/corpus.tsv

A topic is a part of SciPy. Formulas, code, tables and references are left out, and so is every sentence that stands in
more than two places: what a whole part of the library repeats would give its topic away.
"""

import importlib
import inspect
import re
import sys
from collections import Counter
from collections.abc import Iterator

TOPICS = ("fft", "interpolate", "linalg", "ndimage", "optimize", "signal", "special", "stats")
_SECTION = re.compile(r"^[^\n]+\n[ \t]*(-{3,}|={3,})[ \t]*$", re.MULTILINE)
_NOT_PROSE = re.compile(r"^( |\.\. |>>>|-|\*|\+)|:math:|::|\w+\(.*=.*\)")
_MARKUP = ((r":\w+:", ""), (r"`+~?\.?([^`]*)`+_?", r"\1"), (r"\[\w+\]_?", ""), (r"[*|]", ""), (r"\s+", " "))


def sentences(documentation: str) -> list[str]:
    """The prose of a docstring: its beginning and its notes."""
    parts = _SECTION.split(inspect.cleandoc(documentation))
    headings = [match.group().splitlines()[0].strip() for match in _SECTION.finditer(inspect.cleandoc(documentation))]
    wanted = [parts[0], *(text for heading, text in zip(headings, parts[2::2], strict=True) if heading == "Notes")]
    found = []
    for paragraph in (paragraph for text in wanted for paragraph in re.split(r"\n\s*\n", text)):
        if _NOT_PROSE.search(paragraph.strip("\n")):
            continue
        for pattern, replacement in _MARKUP:
            paragraph = re.sub(pattern, replacement, paragraph)
        split = re.split(r"(?<=[.!?]) (?=[A-Z])", paragraph.strip())
        found += [sentence for sentence in split if len(sentence.split()) >= 4]
    return found


def functions(topic: str) -> Iterator[tuple[str, list[str]]]:
    module = importlib.import_module(f"scipy.{topic}")
    for name in sorted(dir(module)):
        thing = getattr(module, name)
        # An instance (a distribution, say) repeats the words of its class.
        if not name.startswith("_") and (inspect.isclass(thing) or callable(thing)) and thing.__doc__:
            # Without its own name, which gives the topic away and hides that a sentence is repeated elsewhere.
            own_name = re.compile(rf"\b{re.escape(name)}\b")
            yield name, [own_name.sub("it", sentence) for sentence in sentences(thing.__doc__)]


def main() -> None:
    found = [(topic, name, text) for topic in TOPICS for name, text in functions(topic)]
    places = Counter(sentence for _, _, text in found for sentence in set(text))
    for topic, name, text in found:
        own = [sentence for sentence in text if places[sentence] <= 2]
        if sum(len(sentence.split()) for sentence in own) >= 12:
            sys.stdout.write(f"{topic}\t{name}\t{' '.join(own)}\n")


if __name__ == "__main__":
    main()
