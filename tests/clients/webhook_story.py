"""Webhooks as people use them: a receiver that verifies with `standardwebhooks`, webhooks made over HTTP and SQL."""

import json
import os
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import Queue

import psycopg
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

HTTP = os.environ["NEARLAKE_HTTP"]
events: Queue = Queue()
secrets: dict[str, str] = {}
refusals = 0


class Receiver(BaseHTTPRequestHandler):
    """Takes what `standardwebhooks` verifies, by the secret of the path."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        global refusals
        body = self.rfile.read(int(self.headers["content-length"]))
        status = 204
        try:
            event = Webhook(secrets[self.path]).verify(body, dict(self.headers))
            events.put(event)
        except (WebhookVerificationError, KeyError):
            refusals += 1
            status = 401
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def call(method: str, path: str, body=None, status: int = 200):
    data = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(HTTP + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            code, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        code, text = error.code, error.read()
    assert code == status, f"{method} {path}: {code} {text}"
    return json.loads(text)


def next_event():
    return events.get(timeout=30)


server = HTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()
base = f"http://127.0.0.1:{server.server_port}"
quick = {"backoff_min": "20ms", "backoff_max": "100ms"}

with psycopg.connect(autocommit=True) as db:
    db.execute("CREATE EXTENSION vector")
    db.execute("CREATE TABLE items (id bigint PRIMARY KEY, name text, v vector(3))")

    # Registered over HTTP; the secret is shown once.
    body = {
        "name": "near",
        "table": "items",
        "events": ["insert"],
        "condition": "v <=> '[1,0,0]' < 0.2 -- near the first axis",
        "url": f"{base}/near",
        "options": quick,
    }
    made = call("POST", "/v1/webhooks", body)
    secrets["/near"] = made["secret"]
    assert made["webhook"] == "near" and made["events"] == ["insert"], made
    assert "secret" not in call("GET", "/v1/webhooks/near")
    call("POST", "/v1/webhooks", body, status=409)

    db.execute("INSERT INTO items VALUES (1, 'near', '[1,0.1,0]'), (2, 'far', '[0,1,0]')")
    event = next_event()
    assert event["version"] == 1 and event["type"] == "insert", event
    assert event["table"] == {"schema": "public", "name": "items"}, event
    assert event["rows"] == [{"new": {"id": 1, "name": "near", "v": [1, 0.1, 0]}}], event

    # By SQL, and both see both.
    text = "CREATE WEBHOOK gone ON items WHEN (delete) TO '{}/gone' WITH (backoff_min = '20ms', old_rows = 'all')"
    secrets["/gone"] = db.execute(text.format(base)).fetchone()[0]
    names = [webhook["webhook"] for webhook in call("GET", "/v1/webhooks")["webhooks"]]
    assert names == ["gone", "near"], names
    db.execute("DELETE FROM items WHERE id = 2")
    assert next_event()["rows"] == [{"old": {"id": 2, "name": "far", "v": [0, 1, 0]}}]

    # Rotation: the receiver verifies by the old secret, then by the new one.
    old = secrets["/near"]
    rotated = call("POST", "/v1/webhooks/near/rotate_secret", {})["secret"]
    assert rotated != old
    call("POST", "/v1/webhooks/near/test", {})
    assert next_event()["type"] == "test"
    secrets["/near"] = rotated
    call("POST", "/v1/webhooks/near/test", {})
    assert next_event()["webhook"] == "near"
    assert refusals == 0

    # What is refused becomes a dead letter, and is sent again on demand.
    call("PATCH", "/v1/webhooks/near", {"options": {"attempts_max": 2, "pause_after": 0}})
    secrets["/near"] = "whsec_" + "A" * 44
    call("POST", "/v1/webhooks/near/test", {})
    dead = []
    while not dead:
        dead = call("GET", "/v1/webhooks/near/deliveries?state=dead")["deliveries"]
    assert dead[0]["type"] == "test" and dead[0]["attempts"] == 2, dead
    secrets["/near"] = rotated
    call("POST", "/v1/webhooks/near/replay", {"event_id": dead[0]["event_id"]})
    assert next_event()["id"] == dead[0]["event_id"]
    assert refusals == 2, refusals

    # Of a namespace, by its name to clients.
    call("POST", "/v2/namespaces/docs-1", {"upsert_rows": [{"id": 1, "n": 1}]})
    of = {"name": "docs", "namespace": "docs-1", "events": ["update"], "url": f"{base}/docs", "options": quick}
    made = call("POST", "/v1/webhooks", of)
    assert (made["schemaname"], made["relname"]) == ("namespaces", "docs-1"), made
    secrets["/docs"] = made["secret"]
    call("POST", "/v2/namespaces/docs-1", {"patch_rows": [{"id": 1, "n": 2}]})
    assert next_event()["rows"][0]["new"] == {"id": 1, "n": 2}
    call("POST", "/v1/webhooks", {**of, "name": "other", "table": "items"}, status=400)
    call("POST", "/v1/webhooks", {**of, "name": "other", "namespace": "nowhere"}, status=404)

    # Changes are all or nothing; what is not there is 404, what is wrong 400.
    patch = {"events": ["insert", "update"], "url": f"{base}/near", "name": "close", "status": "disabled"}
    changed = call("PATCH", "/v1/webhooks/near", patch)
    assert (changed["webhook"], changed["status"], changed["condition"]) == ("close", "disabled", None), changed
    call("GET", "/v1/webhooks/near", status=404)
    call("POST", "/v1/webhooks/near/test", {}, status=404)
    call("PATCH", "/v1/webhooks/close", {"status": "enabled", "options": {"timeout": "forever"}}, status=400)
    assert call("GET", "/v1/webhooks/close")["status"] == "disabled"
    call("POST", "/v1/webhooks", {**body, "condition": "true) TO 'https://other.example' --"}, status=400)
    call("POST", "/v1/webhooks", {**body, "events": ["everything"]}, status=400)
    call("POST", "/v1/webhooks", {**body, "uri": "x"}, status=422)
    call("DELETE", "/v1/webhooks/close")
    call("DELETE", "/v1/webhooks/close", status=404)

    # The paths are in the document that describes the API.
    paths = call("GET", "/openapi.json")["paths"]
    assert "/v1/webhooks/{name}/replay" in paths

print("ok")
