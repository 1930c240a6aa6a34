"""
The other sides of the HTTP sinks: what they document, as code that reads, checks and answers.

As a program (``servers.py KIND PORT JOURNAL``) one of them runs in a process of its own that a
test can kill; it writes the ids of what it took into the journal before it answers.
"""

from __future__ import annotations

import base64
import copy
import gzip
import json
import os
import re
import sys
import uuid
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jsonschema
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)

KEY = "wr1te-key-s3cret"


# ---- OpenTelemetry ------------------------------------------------------------------------


def decode_otlp(body, headers):
    """Read a request with the official messages; JSON by the rules of OTLP/JSON."""
    if headers["content-type"] == "application/x-protobuf":
        return ExportLogsServiceRequest.FromString(body)
    assert headers["content-type"] == "application/json"
    said = json.loads(body)
    check_numbers(said)
    for record in records_in_json(said):
        for name, size in (("traceId", 16), ("spanId", 8)):
            if name in record:
                raw = bytes.fromhex(record[name])
                assert len(raw) == size
                record[name] = base64.b64encode(raw).decode()
        assert isinstance(record["severityNumber"], int)
    # Strict: a field that the messages do not know is an error.
    return json_format.ParseDict(said, ExportLogsServiceRequest())


def check_numbers(said):
    """Raise unless 64-bit integers are text, as proto3's JSON demands."""
    if isinstance(said, dict):
        for name in ("intValue", "timeUnixNano", "observedTimeUnixNano"):
            assert isinstance(said.get(name, ""), str)
    for item in said.values() if isinstance(said, dict) else said:
        if isinstance(item, (dict, list)):
            check_numbers(item)


def records_in_json(said):
    return [
        record
        for resource in said["resourceLogs"]
        for scope in resource["scopeLogs"]
        for record in scope["logRecords"]
    ]


def records_of(request):
    return [
        record
        for resource in request.resource_logs
        for scope in resource.scope_logs
        for record in scope.log_records
    ]


def plain(value):
    """Return an official AnyValue as a Python value."""
    arm = value.WhichOneof("value")
    if arm == "array_value":
        return [plain(item) for item in value.array_value.values]
    if arm == "kvlist_value":
        return {pair.key: plain(pair.value) for pair in value.kvlist_value.values}
    return None if arm is None else getattr(value, arm)


def attributes(owner):
    found = {pair.key: plain(pair.value) for pair in owner.attributes}
    assert len(found) == len(owner.attributes), "an attribute stands twice"
    return found


def read_otlp(body, headers):
    records = records_of(decode_otlp(body, headers))
    return [{"id": attributes(record)["cloudevents.event_id"]} for record in records]


def otlp_answer(kind, rejected=0, words="", *, warn=False):
    """Return the official answer in the encoding of the request."""
    answer = ExportLogsServiceResponse()
    if rejected or warn:
        answer.partial_success.rejected_log_records = rejected
        answer.partial_success.error_message = words
    if kind == "application/x-protobuf":
        return answer.SerializeToString()
    return json_format.MessageToJson(answer).encode()


# ---- Segment ------------------------------------------------------------------------------

_ID = {"type": "string", "minLength": 1}
SEGMENT_MESSAGE = {
    "type": "object",
    "required": ["type", "messageId"],
    "properties": {
        "type": {"enum": ["track", "identify", "alias"]},
        "messageId": {"type": "string", "minLength": 1, "maxLength": 100},
        "userId": _ID,
        "anonymousId": _ID,
        "previousId": _ID,
        "event": _ID,
        "timestamp": {"type": "string", "format": "date-time"},
        "properties": {"type": "object"},
        "traits": {"type": "object"},
        "context": {
            "type": "object",
            "properties": {
                "channel": False,
                "ip": False,
                "page": False,
                "groupId": _ID,
                "locale": {"type": "string"},
                "timezone": {"type": "string"},
                "library": {"type": "object", "required": ["name", "version"]},
                "traceparent": {"type": "string"},
            },
            "additionalProperties": False,
        },
    },
    "additionalProperties": False,
    "oneOf": [
        {
            "properties": {"type": {"const": "track"}, "previousId": False, "traits": False},
            "required": ["event", "properties"],
            "anyOf": [{"required": ["userId"]}, {"required": ["anonymousId"]}],
        },
        {
            "properties": {"type": {"const": "identify"}, "event": False, "properties": False},
            "required": ["traits"],
            "anyOf": [{"required": ["userId"]}, {"required": ["anonymousId"]}],
        },
        {
            "properties": {"type": {"const": "alias"}, "event": False, "traits": False},
            "required": ["userId", "previousId"],
        },
    ],
}
_segment = jsonschema.Draft202012Validator(
    SEGMENT_MESSAGE, format_checker=jsonschema.FormatChecker()
)


def check_message(message):
    _segment.validate(message)
    assert len(json.dumps(message, separators=(",", ":")).encode()) <= 32 * 1024


def check_segment(path, headers, body):
    """Raise unless this is a request as the HTTP API documents it."""
    assert path == "/v1/batch"
    assert headers["content-type"] == "application/json"
    pair = base64.b64decode(headers["authorization"].removeprefix("Basic ")).decode()
    assert pair == f"{KEY}:"
    assert len(body) <= 500 * 1024
    said = json.loads(body)
    assert said.keys() == {"batch", "sentAt"}
    datetime.fromisoformat(said["sentAt"])
    assert len(said["batch"]) <= 2500
    for message in said["batch"]:
        check_message(message)


def read_segment(body, headers):
    return [{**message, "id": message["messageId"]} for message in json.loads(body)["batch"]]


# ---- PostHog ------------------------------------------------------------------------------


def check_captured(event):
    """Raise unless this is an event as PostHog's capture endpoint reads it."""
    assert event.keys() <= {"uuid", "event", "distinct_id", "properties", "timestamp"}
    assert str(uuid.UUID(event["uuid"])) == event["uuid"]
    assert isinstance(event["event"], str)
    assert event["event"]
    assert isinstance(event["distinct_id"], str)
    assert 0 < len(event["distinct_id"]) <= 200
    assert isinstance(event["properties"], dict)
    if "timestamp" in event:
        datetime.fromisoformat(event["timestamp"])
    if event["event"].startswith("survey "):
        assert event["properties"]["$survey_id"]
    for name in event["properties"]:
        assert not name.startswith("$") or re.match(r"\$(lib|geoip|set|survey|process|anon)", name)


def check_posthog(path, headers, body):
    """Raise unless this is a request as the batch endpoint documents it."""
    assert path == "/batch/"
    assert headers["content-type"] == "application/json"
    assert "authorization" not in headers
    said = json.loads(body)
    assert said.keys() == {"api_key", "historical_migration", "batch"}
    assert said["api_key"] == KEY
    assert said["historical_migration"] is False
    for event in said["batch"]:
        check_captured(event)


def read_posthog(body, headers):
    return [{**event, "id": event["uuid"]} for event in json.loads(body)["batch"]]


# ---- all three ----------------------------------------------------------------------------


def check_otlp(path, headers, body):
    assert path == "/v1/logs"
    decode_otlp(body, headers)


SIDES = {
    "otlp": (read_otlp, check_otlp),
    "segment": (read_segment, check_segment),
    "posthog": (read_posthog, check_posthog),
}
YES = {"segment": b'{"success": true}', "posthog": b'{"status": 1}'}


def yes(kind, headers):
    """Return what the other side says when it took everything, and as what."""
    if kind == "otlp":
        return otlp_answer(headers["content-type"]), headers["content-type"]
    return YES[kind], "application/json"


def well(kind):
    """An answer of a FaultCollector: check, keep and say yes as this side does; 400 for a wrong
    request.
    """
    check = SIDES[kind][1]

    def answer(exchange):
        request = exchange.request
        try:
            check(request.path, request.headers, request.body)
        except (AssertionError, ValueError, KeyError, jsonschema.ValidationError) as error:
            exchange.reply(400, json.dumps({"message": repr(error)[:400]}).encode())
            return
        exchange.accept()
        body, content_type = yes(kind, request.headers)
        exchange.reply(200, body, {"Content-Type": content_type})

    return answer


def without(message, *names):
    """Return a copy of a JSON object that lacks some names."""
    return {name: copy.deepcopy(item) for name, item in message.items() if name not in names}


# ---- as a process -------------------------------------------------------------------------


def main(kind, port, journal):
    read, check = SIDES[kind]
    book = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers["content-length"]))
            if headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            check(self.path, headers, body)
            ids = [event["id"] for event in read(body, headers)]
            os.write(book, "".join(f"{name}\n" for name in ids).encode())
            said, content_type = yes(kind, headers)
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
