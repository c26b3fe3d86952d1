"""Did a food inspection fail? Logistic regression on the inspector's words, as a pipeline of Spark MLlib."""

import argparse
import os
import shutil
from pathlib import Path

from pyspark.ml import Pipeline
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.feature import HashingTF, RegexTokenizer
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f
from trial import BadInput, report, run_program, settings_of, write_card
from trial.arguments import at_least
from trial.card import hash_file

from . import table
from .scores import metrics_of


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="CSV in the columns of the City of Chicago; else inspections are drawn")
    parser.add_argument("--features", type=at_least(1), default=4_096, help="buckets that words are hashed into")
    parser.add_argument("--penalty", type=float, default=0.01)
    parser.add_argument("--iterations", type=at_least(1), default=50)
    parser.add_argument("--rows", type=at_least(1), default=20_000, help="inspections to draw")
    parser.add_argument("--threads", type=at_least(1), default=1)
    parser.add_argument("--seed", type=at_least(0), default=1)
    parser.add_argument("--smoke", action="store_true", help="a size that ends in seconds, to see it run")
    chosen = parser.parse_args()
    if chosen.penalty < 0:
        raise BadInput("--penalty must be at least 0")
    if chosen.smoke:
        chosen.rows, chosen.iterations = min(chosen.rows, 1_000), 5
    return chosen


def main() -> None:
    chosen = arguments()
    path = Path(chosen.data or "inspections.csv")
    if chosen.data is None:
        table.draw(path, chosen.rows, chosen.seed)
    table.check(path)
    spark = session(chosen.threads)
    try:
        metrics, coefficients = train(spark, path, chosen)
    finally:
        spark.stop()
    report(step=1, **metrics)
    settings = {name: value for name, value in settings_of(chosen).items() if name != "rows" or chosen.data is None}
    write_card(
        "model", data=hash_file(path), settings=settings, metrics=metrics, packages=["pyspark"], weights=coefficients
    )


def session(threads: int) -> SparkSession:
    home = os.environ.get("JAVA_HOME")
    if not (Path(home, "bin", "java").exists() if home else shutil.which("java")):
        where = f"in JAVA_HOME ({home})" if home else "on the PATH"
        raise BadInput(f"Spark needs Java 17 or later, and there is none {where}: install a JRE or set JAVA_HOME")
    built = (
        SparkSession.builder.master(f"local[{threads}]")
        .appName("inspections")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.shuffle.partitions", str(threads))
        .config("spark.driver.memory", "1g")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    built.sparkContext.setLogLevel("ERROR")
    return built


def train(spark: SparkSession, path: Path, chosen: argparse.Namespace) -> tuple[dict[str, float], int]:
    """The metrics of the model that is saved to `model/spark`, and how many of its weights are not zero."""
    parts = split(inspections(spark, path))
    counts = {name: part.count() for name, part in parts.items()}
    print(", ".join(f"{count} {name}" for name, count in counts.items()))
    if not all(counts.values()) or parts["train"].select("label").distinct().count() < 2:
        raise BadInput(f"{path}: too few inspections that passed or failed ({counts})")
    pipeline = Pipeline(
        stages=[
            RegexTokenizer(inputCol="Violations", outputCol="words", pattern="[^a-z]+"),
            HashingTF(inputCol="words", outputCol="features", numFeatures=chosen.features, binary=True),
            LogisticRegression(maxIter=chosen.iterations, regParam=chosen.penalty),
        ]
    )
    model = pipeline.fit(parts["train"])
    metrics: dict[str, float] = {}
    for prefix in ("val", "test"):
        metrics |= judge(prefix, model.transform(parts[prefix]))
    model.write().overwrite().save("model/spark")
    return metrics, int((model.stages[-1].coefficients.toArray() != 0).sum())


def inspections(spark: SparkSession, path: Path) -> DataFrame:
    """License, violations, and label: 1 where the inspection failed."""
    rows = spark.read.csv(str(path), header=True, multiLine=True, quote='"', escape='"')
    told = rows.where(f.col("Results").isin(*table.PASSED, *table.FAILED))
    label = f.col("Results").isin(*table.FAILED).cast("double").alias("label")
    return told.select(
        f.col("`License #`").alias("license"), f.coalesce("Violations", f.lit("")).alias("Violations"), label
    )


def split(rows: DataFrame) -> dict[str, DataFrame]:
    """By a hash of the licence, so that a place is in one part only: 70 % train, 15 % choose, 15 % judge."""
    share = f.pmod(f.hash("license"), f.lit(100))
    return {
        "train": rows.where(share < 70).cache(),
        "val": rows.where((share >= 70) & (share < 85)),
        "test": rows.where(share >= 85),
    }


def judge(prefix: str, judged: DataFrame) -> dict[str, float]:
    rows = judged.groupBy("label", "prediction").count().collect()
    return metrics_of(prefix, {(row["label"], row["prediction"]): row["count"] for row in rows})


if __name__ == "__main__":
    run_program(main)
