"""The letters: which fonts count, what the pictures are, and what learns them."""

import numpy as np
import pytest
from glyphs.fonts import LETTERS, Face, find_faces, masters, split_families
from glyphs.pictures import draw
from trial import BadInput


@pytest.fixture(scope="module")
def faces() -> list[Face]:
    return find_faces()


def test_every_face_with_letters_counts_and_no_symbol_font_does(faces: list[Face]) -> None:
    names = {face.path.stem for face in faces}
    assert {"DejaVuSans", "STIXGeneral", "cmr10", "cmsy10"} <= names
    assert not names & {"cmex10", "LastResortHE-Regular", "STIXSizOneSymReg", "DejaVuSansDisplay"}


def test_no_design_is_in_two_of_training_validation_and_test(faces: list[Face]) -> None:
    splits = split_families(faces)
    families = {name: {face.family for face in chosen} for name, chosen in splits.items()}
    assert all(families.values())
    assert sum(map(len, families.values())) == len(set().union(*families.values()))
    assert sum(map(len, splits.values())) == len(faces)


def test_variants_of_one_design_are_one_family(faces: list[Face]) -> None:
    assert {face.family for face in faces} == {"DejaVu", "Computer Modern", "STIX"}


def test_more_families_are_dealt_out_by_their_share() -> None:
    many = [Face(path=None, name=f"{family} {face}", family=str(family)) for family in range(50) for face in range(2)]
    sizes = {name: len(chosen) for name, chosen in split_families(many).items()}
    assert sizes == {"train": 60, "validation": 20, "test": 20}


def test_too_few_families_are_refused() -> None:
    with pytest.raises(BadInput, match="one each"):
        split_families([Face(path=None, name="a", family="one"), Face(path=None, name="b", family="two")])


def test_a_broken_font_is_refused_by_name(tmp_path) -> None:
    (tmp_path / "broken.ttf").write_bytes(b"no font at all")
    with pytest.raises(BadInput, match=r"broken\.ttf"):
        find_faces(str(tmp_path))


def test_letters_are_centred_and_their_border_is_empty(faces: list[Face]) -> None:
    drawn = masters(faces)
    ring = np.ones(drawn.shape[2:], bool)
    ring[4:-4, 4:-4] = False
    assert not drawn[:, :, ring].any()
    assert drawn.max(axis=(2, 3)).min() > 0.9
    ink = drawn.sum(axis=(2, 3))
    centre = (drawn * np.arange(drawn.shape[2])[:, None]).sum(axis=(2, 3)) / ink
    assert np.abs(centre - (drawn.shape[2] - 1) / 2).max() < 0.15 * drawn.shape[2]


def test_a_picture_that_is_not_bent_is_the_letter_at_half_the_size(faces: list[Face]) -> None:
    drawn = masters(faces[:2])
    images, labels = draw(drawn, 40, seed=(5,), strength=0)
    halves = drawn.reshape(2, len(LETTERS), 28, 2, 28, 2).mean(axis=(3, 5))
    for image, label in zip(images, labels, strict=True):
        assert min(np.abs(image - halves[face, label]).max() for face in range(2)) < 0.02


def test_pictures_depend_on_the_seed_alone_and_letters_are_equally_often(faces: list[Face]) -> None:
    drawn = masters(faces)
    images, labels = draw(drawn, 1_000, seed=(1, 2))
    again, labels_again = draw(drawn, 1_000, seed=(1, 2))
    other, _ = draw(drawn, 1_000, seed=(1, 3))
    assert np.array_equal(images, again)
    assert np.array_equal(labels, labels_again)
    assert not np.array_equal(images, other)
    assert np.bincount(labels).tolist() == [100] * 10
    assert images.min() >= 0
    assert images.max() <= 1


def test_the_perceptron_is_two_hidden_layers_with_dropout_and_squared_weights_in_its_loss(keras) -> None:
    from glyphs.models import MODELS

    built = MODELS["mlp"](1_024, 0.5, 1e-3)
    dense = [layer for layer in built.layers if isinstance(layer, keras.layers.Dense)]
    assert [layer.units for layer in dense] == [1_024, 1_024, len(LETTERS)]
    assert [layer.rate for layer in built.layers if isinstance(layer, keras.layers.Dropout)] == [0.5, 0.5]
    squares = sum(float((np.array(layer.kernel) ** 2).sum()) for layer in dense)
    assert sum(map(float, built.losses)) == pytest.approx(1e-3 * squares, rel=1e-4)
