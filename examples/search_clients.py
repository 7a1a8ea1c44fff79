"""The official Python clients of Elasticsearch 8 and OpenSearch on `cartwright up`.

    pip install 'elasticsearch<9' opensearch-py
    python examples/search_clients.py [http://127.0.0.1:9200]
"""

import sys

from elasticsearch import Elasticsearch
from opensearchpy import OpenSearch

url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:9200"
INDEX = "orders-v1"
SCHEDULED = {"match": {"status": "FulfillmentScheduled"}}

elastic = Elasticsearch(url)
everything = elastic.search(index=INDEX)["hits"]["total"]["value"]
scheduled = elastic.search(index=INDEX, query=SCHEDULED)["hits"]["total"]["value"]
assert elastic.count(index=INDEX, query=SCHEDULED)["count"] == scheduled
by_status = elastic.search(
    index=INDEX,
    size=0,
    aggs={"status": {"terms": {"field": "status.keyword"}, "aggs": {"worth": {"sum": {"field": "total"}}}}},
)["aggregations"]["status"]["buckets"]
newest = elastic.search(index=INDEX, size=1, sort=[{"createdAt": "desc"}])["hits"]["hits"]
for hit in newest:
    assert elastic.get(index=INDEX, id=hit["_id"])["_source"]["id"] == hit["_id"]

opensearch = OpenSearch(url)
assert opensearch.search(index=INDEX)["hits"]["total"]["value"] == everything
assert opensearch.search(index=INDEX, body={"query": SCHEDULED})["hits"]["total"]["value"] == scheduled
assert opensearch.search(index=INDEX, params={"q": "status:FulfillmentScheduled"})["hits"]["total"]["value"] == scheduled

print(f"{everything} orders, {scheduled} of them scheduled")
for bucket in by_status:
    print(f"{bucket['doc_count']:>6}  {bucket['key']}")
