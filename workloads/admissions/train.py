"""Who is admitted? Logistic regression on (GRE, GPA, rank), or with `--hidden` a layer of sigmoid units before it."""

from trial import BadInput, Checkpoint, hash_arrays, report, run_program, settings_of, training_parser, write_card

from .applicants import load
from .network import Network


def main() -> None:
    parser = training_parser(__doc__, epochs=200, threads=False)
    parser.add_argument("--lr", type=float, default=1.0)
    parser.add_argument("--hidden", type=int, default=0, help="hidden units; 0 is plain logistic regression")
    parser.add_argument("--data", help="CSV with admit, gre, gpa, rank; else applicants drawn by published odds")
    chosen = parser.parse_args()
    if chosen.lr <= 0 or chosen.hidden < 0:
        raise BadInput("--lr must be above 0, --hidden at least 0")
    epochs = min(chosen.epochs, 20) if chosen.smoke else chosen.epochs

    train, validation, test = load(chosen.data)
    data, settings = hash_arrays(*train, *validation, *test), settings_of(chosen)
    network = Network(train[0].shape[1], chosen.hidden, chosen.seed)
    checkpoint = Checkpoint(chosen.checkpoint, settings | {"data_sha256": data}, epochs)
    for epoch in range(checkpoint.resume(network.restore), epochs):
        network.step(*train, chosen.lr)
        val_loss, val_accuracy = network.judge(*validation)
        report(step=epoch + 1, loss=network.judge(*train)[0], val_loss=val_loss, val_accuracy=val_accuracy)
        checkpoint.save(epoch + 1, network.save)

    (val_loss, val_accuracy), (_, accuracy) = network.judge(*validation), network.judge(*test)
    # Whoever says no to everybody is right this often, too.
    report(test_accuracy=accuracy, test_accuracy_of_no=1 - test[1].mean())
    metrics = {"val_loss": val_loss, "val_accuracy": val_accuracy, "test_accuracy": accuracy}
    write_card("model", data=data, settings=settings, metrics=metrics, packages=["numpy"], epochs=epochs)
    network.save("model")


if __name__ == "__main__":
    run_program(main)
