"""Learn to read the letters A to J from some fonts, and be judged on fonts never seen."""

import argparse
from functools import partial

from trial import BadInput, Checkpoint, hash_arrays, report, run_program, settings_of, training_parser, write_card
from trial.keras_training import PACKAGES, keras, prepare, restore_state, save_state

from . import fonts, pictures
from .models import MODELS

JUDGED = 4_000  # pictures in the validation and in the test set


def arguments() -> argparse.Namespace:
    parser = training_parser(__doc__, epochs=8)
    parser.add_argument("--model", choices=sorted(MODELS), default="mlp")
    parser.add_argument("--lr", type=float, default=1e-3, help="learning rate of Adam")
    parser.add_argument("--width", type=int, default=256, help="units a hidden layer, filters in the CNN")
    parser.add_argument("--dropout", type=float, default=0.2, help="share of units left out while training")
    parser.add_argument("--l2", type=float, default=0.0, help="weight of the squared weights in the loss")
    parser.add_argument("--pictures", type=int, default=8_000, help="training pictures drawn anew each epoch")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--data", metavar="FOLDER", help="more fonts (.ttf, .otf), beside matplotlib's own")
    chosen = parser.parse_args()
    if chosen.smoke:
        chosen.epochs, chosen.pictures = min(chosen.epochs, 2), 1_000
    if min(chosen.lr, chosen.width, chosen.pictures, chosen.batch) <= 0:
        raise BadInput("--lr, --width, --pictures and --batch must be above 0")
    if not 0 <= chosen.dropout < 1 or chosen.l2 < 0:
        raise BadInput("--dropout must be from 0 to below 1, --l2 at least 0")
    return chosen


def main() -> None:
    chosen = arguments()
    prepare(chosen.seed, chosen.threads)

    splits = fonts.split_families(fonts.find_faces(chosen.data))
    for name, faces in splits.items():
        print(f"{name}: {len(faces)} faces of {', '.join(sorted({face.family for face in faces}))}")
    masters = {name: fonts.masters(faces) for name, faces in splits.items()}
    validation = pictures.draw(masters["validation"], JUDGED, (chosen.seed, 1))

    data = hash_arrays(*masters.values())
    checkpoint = Checkpoint(chosen.checkpoint, settings_of(chosen) | {"data_sha256": data}, chosen.epochs)
    model = build(chosen)
    first = checkpoint.resume(partial(restore_state, model))
    for epoch in range(first, chosen.epochs):
        # Their seed is the epoch's number: a training that goes on later draws the same ones.
        images, labels = pictures.draw(masters["train"], chosen.pictures, (chosen.seed, 0, epoch))
        fitted = model.fit(images, labels, batch_size=chosen.batch, shuffle=False, verbose=0)
        val_loss, val_accuracy = model.evaluate(*validation, batch_size=1_000, verbose=0)
        report(
            step=epoch + 1,
            loss=fitted.history["loss"][0],
            accuracy=fitted.history["accuracy"][0],
            val_loss=val_loss,
            val_accuracy=val_accuracy,
        )
        checkpoint.save(epoch + 1, partial(save_state, model))

    test = pictures.draw(masters["test"], JUDGED, (chosen.seed, 2))
    metrics = {
        "val_accuracy": model.evaluate(*validation, batch_size=1_000, verbose=0)[1],
        "test_accuracy": model.evaluate(*test, batch_size=1_000, verbose=0)[1],
    }
    report(test_accuracy=metrics["test_accuracy"])
    write_card(
        "model",
        data=data,
        settings=settings_of(chosen),
        metrics=metrics,
        packages=PACKAGES,
        epochs=chosen.epochs,
        fonts={name: [face.name for face in faces] for name, faces in splits.items()},
    )
    model.save("model/model.keras")
    pictures.save_misread("misread.png", *test, model.predict(test[0], batch_size=1_000, verbose=0).argmax(1))


def build(chosen: argparse.Namespace) -> keras.Model:
    model = MODELS[chosen.model](chosen.width, chosen.dropout, chosen.l2)
    model.compile(keras.optimizers.Adam(chosen.lr), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


if __name__ == "__main__":
    run_program(main)
