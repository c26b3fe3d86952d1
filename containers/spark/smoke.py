"""Sums numbers, so that the image is known to work."""

import pyspark
from pyspark.sql import SparkSession

spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
total = spark.range(101).selectExpr("sum(id)").first()[0]
spark.stop()
assert total == 5050, total
print(f"Spark {pyspark.__version__} works: {total}")
