"""The model of language: its rows, its loss, its perplexity and its writing."""

import numpy as np
import pytest
from trial import BadInput


@pytest.fixture(scope="module")
def language(keras):
    from generate import language

    return language


def test_a_sentence_is_a_row_from_start_to_end(language) -> None:
    dictionary = language.Dictionary([["the", "sea", "the"], ["the", "lake", "sea"]], most=6)
    assert dictionary.words == ["", "?", "<", ">", "the", "sea"]
    rows = dictionary.rows([["the", "lake"], ["sea"] * 9], 5)
    assert rows.tolist() == [[2, 4, 1, 3, 0, 0], [2, 5, 5, 5, 5, 5]]


def test_the_loss_is_the_mean_over_words_and_not_over_padding(language) -> None:
    random = np.random.default_rng(0)
    scores = random.normal(size=(2, 4, 7)).astype(np.float32)
    truth = np.array([[4, 5, 3, 0], [6, 3, 0, 0]])
    logs = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    expected = -np.mean([logs[0, 0, 4], logs[0, 1, 5], logs[0, 2, 3], logs[1, 0, 6], logs[1, 1, 3]])
    assert float(language.next_word_loss(truth, scores)) == pytest.approx(expected, rel=1e-5)


def test_perplexity_of_a_model_that_knows_nothing_is_the_number_of_words(language) -> None:
    model = language.build(4, 5, 0.0, vocabulary=50)
    for weight in model.weights:
        weight.assign(np.zeros(weight.shape))
    rows = np.random.default_rng(0).integers(4, 50, (10, 8)).astype(np.int32)
    assert language.perplexity(model, rows, batch=3) == pytest.approx(50, rel=1e-4)


def test_unigram_perplexity_is_that_of_the_counts(language) -> None:
    train = np.array([[2, 4, 4, 4, 5, 3]])  # counts: 4 thrice, 5 once, 3 once; each once more, of six words but padding
    shares = {4: 4 / 10, 5: 2 / 10}
    rows = np.array([[2, 4, 5, 0, 0, 0]])
    expected = np.exp(-np.mean([np.log(shares[4]), np.log(shares[5])]))
    assert language.unigram_perplexity(train, rows, vocabulary=6) == pytest.approx(expected)


def test_writing_follows_the_model_and_stops_at_the_end(language) -> None:
    dictionary = language.Dictionary([["one", "two", "three", "."]] * 2, most=20)

    def chain(rows, training):  # after each word the next one of a fixed chain is certain
        following = {
            2: "one",
            **{dictionary.numbers[a]: b for a, b in (("one", "two"), ("two", "three"), ("three", "."))},
        }
        scores = np.full((*rows.shape, len(dictionary)), -1e9, np.float32)
        for place, number in np.ndenumerate(rows):
            word = following.get(int(number))
            scores[(*place, dictionary.numbers[word] if word else language.END)] = 0
        return scores

    assert language.write(chain, dictionary, 3, 8, heat=1.0, seed=1) == ["One two three."] * 3
    assert language.spell(["a", "(", "b", ")", ",", "c", "."]) == "A (b), c."


def test_a_text_without_sentences_is_refused(language, tmp_path) -> None:
    (tmp_path / "short.txt").write_text("One sentence only. Two.")
    with pytest.raises(BadInput, match="at least 50"):
        language.read_sentences(str(tmp_path / "short.txt"))
