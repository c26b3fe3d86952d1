"""Texts: the loaders on archives of the public ones' form, words and pairs, and training that repeats."""

import io
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
from text.data import BUILT_IN, load
from text.words import Vocabulary, add_pairs, read_vectors, tokenize
from trial import BadInput


def archive(path: Path, files: dict[str, bytes]) -> str:
    with tarfile.open(path, "w:gz") as made:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            made.addfile(member, io.BytesIO(content))
    return str(path)


@pytest.fixture
def reviews() -> dict[str, bytes]:
    files = {
        f"aclImdb/{part}/{label}/{number}_{9 if label == 'pos' else 2}.txt": (
            f"{part} {number} a {word} film<br />it is &quot;{word}&quot;".encode()
        )
        for part in ("train", "test")
        for label, word in (("pos", "wonderful"), ("neg", "dreadful"))
        for number in range(12)
    }
    return files | {"aclImdb/train/unsup/0_0.txt": b"no label", "aclImdb/README": b"about"}


def test_reviews_keep_their_own_test_part_and_markup_is_taken_away(tmp_path: Path, reviews: dict[str, bytes]) -> None:
    corpus = load("imdb", archive(tmp_path / "aclImdb_v1.tar.gz", reviews))
    assert corpus.classes == ["neg", "pos"]
    assert len(corpus.test) == 24
    assert all(text.startswith("test") for text in corpus.test.texts)
    assert len(corpus.train) + len(corpus.validation) == 24
    assert len(corpus.validation) >= 2
    assert 'test 0 a wonderful film it is "wonderful"' in corpus.test.texts


def test_reviews_of_one_film_are_in_one_part(tmp_path: Path, reviews: dict[str, bytes]) -> None:
    for label in ("pos", "neg"):  # reviews N and N + 6 are about one film, whoever liked it
        films = [f"http://www.imdb.com/title/tt{number % 6}/usercomments" for number in range(12)]
        reviews[f"aclImdb/train/urls_{label}.txt"] = "\n".join(films).encode()
    corpus = load("imdb", archive(tmp_path / "a.tar.gz", reviews))
    chosen = {int(text.split()[1]) % 6 for text in corpus.validation.texts}
    learnt = {int(text.split()[1]) % 6 for text in corpus.train.texts}
    assert (len(chosen), len(corpus.validation)) == (len(chosen), 4 * len(chosen))
    assert not chosen & learnt
    assert chosen


def test_an_unpacked_archive_is_the_same_corpus(tmp_path: Path, reviews: dict[str, bytes]) -> None:
    for name, content in reviews.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert sorted(load("imdb", str(tmp_path)).test.texts) == sorted(
        load("imdb", archive(tmp_path / "a.tar.gz", reviews)).test.texts
    )


def test_a_text_of_the_test_part_is_never_learnt_from(tmp_path: Path, reviews: dict[str, bytes]) -> None:
    reviews["aclImdb/train/pos/99_9.txt"] = reviews["aclImdb/test/pos/3_9.txt"].upper()
    corpus = load("imdb", archive(tmp_path / "a.tar.gz", reviews))
    learnt = {text.lower() for text in corpus.train.texts + corpus.validation.texts}
    assert not learnt & {text.lower() for text in corpus.test.texts}
    assert len(corpus.test) == 24


def story(number: int, split: str, topics: str, body: str, has: str = "YES") -> str:
    return (
        f'<REUTERS TOPICS="{has}" LEWISSPLIT="{split}" CGISPLIT="X" OLDID="1" NEWID="{number}">\n'
        f"<TOPICS>{topics}</TOPICS><TEXT><TITLE>t</TITLE><BODY>{body}\n Reuter\n&#3;</BODY></TEXT>\n</REUTERS>\n"
    )


def test_newswire_is_split_by_its_own_attributes_and_keeps_single_topics(tmp_path: Path) -> None:
    stories = [
        story(n, split, f"<D>{topic}</D>", f"{split} {topic} prices {n} &lt;rose&gt;")
        for n, (split, topic) in enumerate(
            [("TRAIN", "grain"), ("TRAIN", "crude")] * 9 + [("TEST", "grain"), ("TEST", "crude")] * 2
        )
    ]
    stories += [
        story(90, "TRAIN", "<D>grain</D><D>crude</D>", "two topics"),
        story(91, "TRAIN", "", "no topic"),
        story(92, "NOT-USED", "<D>grain</D>", "not in the split"),
        story(93, "TEST", "<D>tin</D>", "a topic that training never saw"),
        story(94, "TRAIN", "<D>grain</D>", "not looked at by the indexers", has="NO"),
        story(95, "TRAIN", "<D>grain</D>", "its list of topics is lost").replace("TOPICS>", "LOST>"),
    ]
    corpus = load("reuters", archive(tmp_path / "r.tar.gz", {"reut2-000.sgm": "".join(stories).encode("latin-1")}))
    assert corpus.classes == ["crude", "grain"]
    assert len(corpus.train) + len(corpus.validation) == 18
    assert len(corpus.test) == 4
    assert all(text.startswith("TEST") and text.endswith("<rose>") for text in corpus.test.texts)


def test_bad_corpora_are_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "cut.tar.gz").write_bytes(b"\x1f\x8b\x08 not an archive")
    (tmp_path / "poor.csv").write_text("label,words\na,b\n")
    (tmp_path / "gap.csv").write_text("label,text\na,some words\n,more words\n")
    (tmp_path / "one.csv").write_text("label,text\n" + "".join(f"a,text {n}\n" for n in range(30)))
    for kind, name, message in (
        ("imdb", "cut.tar.gz", "cannot be read as an archive"),
        ("imdb", "nowhere", "no such file"),
        ("csv", "poor.csv", "no column text"),
        ("csv", "gap.csv", r"gap\.csv:3"),
        ("csv", "one.csv", "two classes or more"),
    ):
        with pytest.raises(BadInput, match=message):
            load(kind, str(tmp_path / name))
    with pytest.raises(BadInput, match="needs --data"):
        load("reuters", None)


def test_what_documents_one_function_is_in_one_part() -> None:
    corpus = load("scipy", None)
    parts = {name: set(getattr(corpus, name).texts) for name in ("train", "validation", "test")}
    functions = [line.split("\t")[2] for line in BUILT_IN.read_text().splitlines()]
    owners: dict[str, set[int]] = {}
    for function, text in enumerate(functions):
        for sentence in re.split(r"(?<=[.!?]) (?=[A-Z])", text):
            owners.setdefault(sentence, set()).add(function)
    homes: dict[int, set[str]] = {}
    for name, sentences in parts.items():
        for sentence in sentences:
            if len(owners[sentence]) == 1:
                homes.setdefault(*owners[sentence], set()).add(name)
    assert len(homes) > 800
    assert all(len(names) == 1 for names in homes.values())
    assert sum(map(len, parts.values())) > 3_000
    assert len(corpus.classes) == 8


def test_words_are_numbered_by_how_common_they_are() -> None:
    vocabulary = Vocabulary(["The sea, the sea!", "a sea isn't a lake", "lake"], most=6)
    assert tokenize("It's 9 o'clock -- what?!") == ["it's", "9", "o'clock", "what", "?", "!"]
    assert vocabulary.words == ["", "?", "sea", "a", "lake", "the"]
    assert vocabulary.rows(["the lake of a sea sea sea", ""], 5).tolist() == [[5, 4, 1, 3, 2], [0, 0, 0, 0, 0]]


def test_pairs_have_numbers_of_their_own_and_padding_has_none() -> None:
    rows = np.array([[4, 5, 4, 5, 0], [5, 4, 0, 0, 0]], np.int32)
    pairs = add_pairs(rows, words=6, buckets=1_000)[:, 5:]
    assert pairs[0, 0] == pairs[0, 2] >= 6
    assert pairs[0, 0] != pairs[1, 0]
    assert pairs[0, 3] == 0
    assert pairs[1, 1:].tolist() == [0, 0, 0]


def test_word_vectors_are_read_and_a_bad_line_is_named(tmp_path: Path) -> None:
    vocabulary = Vocabulary(["sea lake sea lake"], most=9)
    path = tmp_path / "glove.txt"
    path.write_text("sea 1 2 3\nother 4 5 6\n")
    vectors = read_vectors(str(path), vocabulary, np.random.default_rng(0))
    assert vectors[vocabulary.numbers["sea"]].tolist() == [1, 2, 3]
    assert vectors.shape == (4, 3)
    path.write_bytes("sea 1 2 3\r\nat sea@lake.example 7 8 9\nsea lake 7 8 9\nna\u0085me 7 8 9\nlake 4 5 6\n".encode())
    vectors = read_vectors(str(path), vocabulary, np.random.default_rng(0))
    assert vectors[[vocabulary.numbers["sea"], vocabulary.numbers["lake"]]].tolist() == [[1, 2, 3], [4, 5, 6]]
    path.write_text("sea 1 2 3\nlake 4 5\n")
    with pytest.raises(BadInput, match=":2: 2 numbers, but 3"):
        read_vectors(str(path), vocabulary, np.random.default_rng(0))
    path.write_text("sea 1 two 3\n")
    with pytest.raises(BadInput, match=":1: a word and 3 numbers"):
        read_vectors(str(path), vocabulary, np.random.default_rng(0))


@pytest.mark.parametrize("model", ["bag-of-words", "averaging", "cnn", "lstm", "bidirectional"])
def test_padding_does_not_change_the_answer(model: str, keras) -> None:
    from text.models import Shape, build

    keras.utils.set_random_seed(1)
    built = build(model, 12, Shape(words=20, classes=3, size=4, width=5, dropout=0.5))
    for weight in built.weights:
        weight.assign(keras.random.normal(weight.shape, seed=2))
    short = np.array([[3, 4, 5, 6, 0, 0, 0, 0, 0, 0, 0, 0]], np.int32)
    answer = keras.ops.convert_to_numpy(built(short))
    other = short.copy()
    other[0, 3] = 9
    assert np.abs(keras.ops.convert_to_numpy(built(other)) - answer).max() > 1e-3
    if model != "cnn":  # its padding is a word like any other
        embedding = next(layer for layer in built.layers if isinstance(layer, keras.layers.Embedding))
        table = np.array(keras.ops.convert_to_numpy(embedding.embeddings))
        table[0] += 100
        embedding.embeddings.assign(table)
        np.testing.assert_allclose(keras.ops.convert_to_numpy(built(short)), answer, atol=1e-4)


def test_a_small_training_learns(program_here, keras) -> None:
    done = program_here("text.train", "--smoke", "--model", "cnn")
    assert done.card["metrics"]["test_accuracy"] > 0.45
