"""Learn to read the letters A to J from some fonts, and be judged on fonts never seen."""

import argparse
import os
from functools import partial
from pathlib import Path

# Before TensorFlow's import: no notes about its own build among the trial's lines, and sums that do not
# depend on the processor's vector instructions.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import keras
import tensorflow as tf
from trial import BadInput, Checkpoint, default_folder, hash_arrays, report, run_program, write_card
from trial.keras_state import restore_state, save_state

from . import fonts, pictures
from .models import MODELS

JUDGED = 4_000  # pictures in the validation and in the test set


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=sorted(MODELS), default="mlp")
    parser.add_argument("--lr", type=float, default=1e-3, help="learning rate of Adam")
    parser.add_argument("--width", type=int, default=256, help="units a hidden layer, filters in the CNN")
    parser.add_argument("--dropout", type=float, default=0.2, help="share of units left out while training")
    parser.add_argument("--l2", type=float, default=0.0, help="weight of the squared weights in the loss")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--pictures", type=int, default=8_000, help="training pictures drawn anew each epoch")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fonts", help="a folder with more .ttf and .otf files, beside matplotlib's own")
    parser.add_argument("--threads", type=int, default=1, help="processor threads that TensorFlow may use")
    parser.add_argument("--checkpoint", default=default_folder(), help="folder to go on from after a stop")
    parser.add_argument(
        "--smoke", action="store_true", help="a size that ends in seconds, to see that it runs"
    )
    chosen = parser.parse_args()
    if chosen.smoke:
        chosen.epochs, chosen.pictures = min(chosen.epochs, 2), 1_000
    return chosen


def main() -> None:
    chosen = arguments()
    tf.config.threading.set_intra_op_parallelism_threads(chosen.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(chosen.seed)

    splits = fonts.split_families(fonts.find_faces(chosen.fonts))
    for name, faces in splits.items():
        print(f"{name}: {len(faces)} faces of {', '.join(sorted({face.family for face in faces}))}")
    masters = {name: fonts.masters(faces) for name, faces in splits.items()}
    validation = pictures.draw(masters["validation"], JUDGED, (chosen.seed, 1))

    # What shapes the training, and so must be the same where it goes on.
    settings = {
        name: getattr(chosen, name)
        for name in ("model", "lr", "width", "dropout", "l2", "pictures", "batch", "seed")
    }
    data = hash_arrays(*masters.values())
    checkpoint = Checkpoint(chosen.checkpoint, settings | {"data": data})
    done = checkpoint.latest()
    model = build(chosen)
    first = 0
    if done is not None:
        first, folder = done
        restore_state(model, folder)
        print(f"going on after epoch {first}")

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

    settings["epochs"] = chosen.epochs
    finish(
        model, validation, pictures.draw(masters["test"], JUDGED, (chosen.seed, 2)), splits, settings, data
    )


def build(chosen: argparse.Namespace) -> keras.Model:
    if not (chosen.width > 0 and 0 <= chosen.dropout < 1 and chosen.lr > 0):
        raise BadInput(
            f"--width {chosen.width} --dropout {chosen.dropout} --lr {chosen.lr}: width and learning rate "
            "must be above 0, dropout from 0 to below 1"
        )
    model = MODELS[chosen.model](chosen.width, chosen.dropout, chosen.l2)
    model.compile(keras.optimizers.Adam(chosen.lr), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def finish(
    model: keras.Model, validation: tuple, test: tuple, splits: dict, settings: dict, data: str
) -> None:
    """Judge the trained model once on the test fonts, and save it with its card and its mistakes."""
    metrics = {
        "val_accuracy": model.evaluate(*validation, batch_size=1_000, verbose=0)[1],
        "test_accuracy": model.evaluate(*test, batch_size=1_000, verbose=0)[1],
    }
    report(test_accuracy=metrics["test_accuracy"])
    folder = Path("model")
    folder.mkdir(exist_ok=True)
    model.save(folder / "model.keras")
    write_card(
        folder,
        data=data,
        settings=settings,
        metrics=metrics,
        packages=["keras", "numpy"],
        fonts={name: [face.name for face in faces] for name, faces in splits.items()},
    )
    pictures.save_misread("misread.png", *test, model.predict(test[0], batch_size=1_000, verbose=0).argmax(1))


if __name__ == "__main__":
    run_program(main)
