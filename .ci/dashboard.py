"""Asks every query of deploy/grafana/traffic.json, with the variables filled in as Grafana does: dashboard.py BASE DASHBOARD."""

import csv
import json
import sys
from urllib.request import urlopen

FILLED = {
    "${sites:csv}": "750,751",
    "${__from:date:YYYY-MM-DD}": "2026-02-01",
    "${__to:date:YYYY-MM-DD}": "2026-02-07",
}


def main():
    base, path = sys.argv[1:]
    with open(path) as file:
        dashboard = json.load(file)
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    sites = variables["sites"]["query"]["infinityQuery"]
    with urlopen(sites["url"].replace("${base}", base)) as answer:
        site = json.load(answer)[sites["root_selector"]][0]
    assert all(column["selector"] in site for column in sites["columns"]), site

    asked = 0
    for metric in variables["metric"]["query"].split(","):
        for bucket in variables["bucket"]["query"].split(","):
            chosen = FILLED | {
                "${base}": base,
                "${metric}": metric,
                "${bucket}": bucket,
                "${hours}": variables["hours"]["query"],
            }
            for panel in dashboard["panels"]:
                for target in panel["targets"]:
                    rows = ask(target["url"], chosen)
                    for column in target["columns"]:
                        name = fill(column["selector"], chosen)
                        assert rows and name in rows[0], (panel["title"], name, rows[:1])
                    asked += 1
    print(f"{asked} queries of {path}")


def fill(text, chosen):
    for name, value in chosen.items():
        text = text.replace(name, value)
    assert "$" not in text, text
    return text


def ask(url, chosen):
    with urlopen(fill(url, chosen)) as answer:
        return list(csv.DictReader(answer.read().decode().splitlines()))


main()
