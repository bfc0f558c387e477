import penstock
from penstock.pipeline import node, pipeline

clean = node(lambda raw: [x for x in raw if x is not None], "raw", "clean", name="clean")
mean = node(lambda clean: sum(clean) / len(clean), "clean", "mean", name="mean")
spread = node(lambda clean: max(clean) - min(clean), "clean", "spread", name="spread")
report = node("mean {:.1f}, spread {:.1f}".format, ["mean", "spread"], "report", name="report")

catalog = penstock.DataCatalog({"raw": [3.0, None, 5.0, 10.0], "report": penstock.TextDataset("report.txt")})
runner = penstock.ThreadRunner()
result = penstock.run(pipeline([clean, mean, spread, report]), catalog, runner)

print(result["report"].load())
print("made by", result.producers["report"], "after", len(result.records) - 1, "other nodes")
