import os

from pitaya_client import AuthenticatedClient
from pitaya_client.api.traffic import get_traffic
from pitaya_client.models import AnswerFormat, Bucket, Metric, Problem, Traffic

url = os.environ.get("TRAFFIC_URL", "http://localhost:8080")
pitaya = AuthenticatedClient(base_url=url, token=os.environ.get("TRAFFIC_KEY", ""))
query = {"sites": [750, 751], "dates": "2026-02-18", "metric": [Metric.ENTRANCES], "bucket": Bucket.DAY}

figures = get_traffic.sync(client=pitaya, **query)
refused = get_traffic.sync(client=pitaya, **query | {"dates": "2026-02-30"})
# `sync` would read the text as JSON: the same request by the client's own session.
request = get_traffic._get_kwargs(**query, format_=AnswerFormat.CSV)
csv = pitaya.get_httpx_client().request(**request).text

assert isinstance(figures, Traffic), figures
assert [row.site_id for row in figures.data] == [750, 751], figures
assert all(isinstance(row.entrances, (int, float)) for row in figures.data), figures
assert isinstance(refused, Problem) and refused.errors[0].parameter == "dates", refused
lines = csv.splitlines()
assert lines[0] == "site_id,site_name,time,entrances", csv
assert [line.rsplit(",", 1)[1] for line in lines[1:]] == [str(int(row.entrances)) for row in figures.data], csv
print("two sites, an error, a CSV")
