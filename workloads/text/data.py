"""Labelled texts: a small corpus that is always here, and loaders for public archives. No text is in two parts."""

import html
import re
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from trial import BadInput, hash_arrays
from trial.tables import read_rows

BUILT_IN = Path(__file__).with_name("corpus.tsv")
NEWSWIRE_TOPICS = 10
# What a story of Reuters-21578 ends with.
_SIGNATURE = re.compile(r"\s*\breuter\s*$", re.IGNORECASE)


@dataclass(frozen=True)
class Texts:
    """Texts and the number of the class of each."""

    texts: list[str]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class Corpus:
    """Three parts to learn from, to choose by, and to judge once; `classes` names the labels."""

    classes: list[str]
    train: Texts
    validation: Texts
    test: Texts

    @property
    def sha256(self) -> str:
        parts = (self.train, self.validation, self.test)
        return hash_arrays(*(array for part in parts for array in (np.array(part.texts), part.labels)))


@dataclass(frozen=True)
class _Sample:
    """`part` is "train" or "test" where the archive says so, else empty. Samples of one `group` stay together."""

    label: str
    text: str
    group: str
    part: str = ""


def load(kind: str, path: str | None) -> Corpus:
    """The corpus of a kind, at `path` (none for `scipy`). The split is the archive's own, or else made once for all.

    - `scipy`: single sentences of SciPy's documentation; the class is the part of the library.
    - `scipy-documents`: the same, a whole function's documentation each.
    - `imdb`: the Large Movie Review Dataset, `aclImdb_v1.tar.gz` or its unpacked folder: pos or neg.
    - `reuters`: Reuters-21578, `reuters21578.tar.gz` or its unpacked folder: the ten commonest single topics.
    - `csv`: a file with the columns `label` and `text`.
    """
    if kind.startswith("scipy"):
        return _split(list(_built_in(sentences=kind == "scipy")), str(BUILT_IN))
    if path is None:
        raise BadInput(f"--corpus {kind} needs --data, the path of the archive, folder or file")
    if not Path(path).exists():
        raise BadInput(f"{path}: there is no such file or folder")
    reader = {"imdb": _imdb, "reuters": _reuters, "csv": _csv}[kind]
    return _split(list(reader(Path(path))), path)


KINDS = ("scipy", "scipy-documents", "imdb", "reuters", "csv")


def _built_in(*, sentences: bool) -> Iterator[_Sample]:
    for line in BUILT_IN.read_text().splitlines():
        topic, name, text = line.split("\t")
        pieces = re.split(r"(?<=[.!?]) (?=[A-Z])", text) if sentences else [text]
        for piece in pieces:
            if len(piece.split()) >= 4:
                yield _Sample(topic, piece, group=f"{topic}.{name}")


def _imdb(path: Path) -> Iterator[_Sample]:
    """Reviews of one film stay together: line N of `urls_pos.txt`, from 0, names the film of `pos/N_9.txt`."""
    wanted = re.compile(r"(?:^|/)(?:train|test)/(?:(?:pos|neg)/[^/]+|urls_(?:pos|neg))\.txt$")
    files = {PurePosixPath(name): content.decode("utf-8", "replace") for name, content in _files(path, wanted)}
    films: dict[tuple[PurePosixPath, str], str] = {}
    for place, content in files.items():
        if place.stem.startswith("urls_"):
            folder = place.parent / place.stem.removeprefix("urls_")
            films |= {(folder, str(number)): film for number, film in enumerate(content.splitlines())}
    for place, content in files.items():
        if place.parent.name in ("pos", "neg"):
            text = html.unescape(re.sub(r"<br */?>", " ", content))
            film = films.get((place.parent, place.stem.partition("_")[0]))
            yield _Sample(place.parent.name, text, group=film or str(place), part=place.parts[-3])


def _reuters(path: Path) -> Iterator[_Sample]:
    """By the "modified Apte" split; stories of exactly one topic, of the commonest topics of the training part."""
    stories = []
    for name, content in _files(path, re.compile(r"(?:^|/)reut2-\d+\.sgm$")):
        for found in re.finditer(r"<REUTERS ([^>]*)>(.*?)</REUTERS>", content.decode("latin-1"), re.DOTALL):
            attributes = dict(re.findall(r'(\w+)="([^"]*)"', found[1]))
            about = re.search(r"<TOPICS>(.*?)</TOPICS>", found[2], re.DOTALL)
            body = re.search(r"<BODY>(.*?)</BODY>", found[2], re.DOTALL)
            part = {"TRAIN": "train", "TEST": "test"}.get(attributes.get("LEWISSPLIT", ""))
            topics = re.findall(r"<D>(.*?)</D>", about[1]) if about else []
            if part and body and len(topics) == 1 and attributes.get("TOPICS") == "YES":
                text = _SIGNATURE.sub("", html.unescape(body[1])).strip()
                stories.append(_Sample(topics[0], text, group=f"{name}/{attributes.get('NEWID')}", part=part))
    common = Counter(story.label for story in stories if story.part == "train").most_common(NEWSWIRE_TOPICS)
    kept = {topic for topic, _ in common}
    yield from (story for story in stories if story.label in kept)


def _csv(path: Path) -> Iterator[_Sample]:
    for where, row in read_rows(path, ("label", "text"), errors="replace"):
        if not row["label"] or not row["text"]:
            raise BadInput(f"{where}: label or text is empty")
        yield _Sample(row["label"], row["text"], group=row["text"])


def _files(path: Path, wanted: re.Pattern[str]) -> Iterator[tuple[str, bytes]]:
    """The wanted files of a folder or an archive, by name; an archive is read, never unpacked."""
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.is_file() and wanted.search(file.as_posix()):
                yield file.as_posix(), file.read_bytes()
        return
    try:
        with tarfile.open(path) as archive:
            found = {}
            for member in archive:
                content = archive.extractfile(member) if wanted.search(member.name) else None
                if content is not None:
                    found[member.name] = content.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise BadInput(f"{path}: cannot be read as an archive ({error})") from error
    yield from sorted(found.items())


def _split(samples: list[_Sample], where: str) -> Corpus:
    """A sixth of the groups each for validation and test, where the archive does not say; doubles only once."""
    classes = sorted({sample.label for sample in samples})
    if len(classes) < 2:
        raise BadInput(f"{where}: texts of two classes or more are needed, and there are {len(classes)}")
    groups = sorted({sample.group for sample in samples})
    shuffled = np.random.default_rng(0).permutation(len(groups))
    sixth_of = {groups[row]: place * 6 // len(groups) for place, row in enumerate(shuffled)}
    parts: dict[str, list[_Sample]] = {"test": [], "validation": [], "train": []}
    for sample in samples:
        sixth = sixth_of[sample.group]
        if sample.part:
            parts["validation" if sample.part == "train" and sixth == 0 else sample.part].append(sample)
        else:
            parts[{0: "validation", 1: "test"}.get(sixth, "train")].append(sample)
    seen: set[str] = set()
    made = {}
    for name, chosen in parts.items():
        new = []
        for sample in chosen:
            key = " ".join(sample.text.lower().split())
            if key not in seen:
                seen.add(key)
                new.append(sample)
        if not new:
            raise BadInput(f"{where}: no texts are left for the {name} part")
        made[name] = Texts([s.text for s in new], np.array([classes.index(s.label) for s in new]))
    return Corpus(classes, **made)
