"""A service in Python with the official instrumentations of WSGI and urllib and OTLP exporter, as they come: it passes a request on."""

import os
import signal
import sys
from urllib.error import HTTPError, URLError
from urllib.request import urlopen
from wsgiref.simple_server import WSGIRequestHandler, make_server

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.urllib import URLLibInstrumentor
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=50))
trace.set_tracer_provider(provider)
URLLibInstrumentor().instrument()
tracer = trace.get_tracer("python-service")


def pass_on(_environ, start_response):
    """One span of its own, with values of several kinds, around the call."""
    with tracer.start_as_current_span("pass on", attributes={"hops": 1, "via": ["python", "wsgi"]}) as span:
        try:
            with urlopen(os.environ["DOWNSTREAM_URL"], timeout=10) as answer:
                status, body = answer.status, answer.read()
        except HTTPError as error:
            status, body = error.code, error.read()
        except URLError as error:
            span.record_exception(error)
            span.set_status(trace.StatusCode.ERROR, "the downstream cannot be reached")
            status, body = 502, b""
    start_response(f"{status} ", [("content-type", "text/plain")])
    return [body]


class Quiet(WSGIRequestHandler):
    def log_message(self, *_args):
        pass


def stop(*_args):
    sys.exit(0)


signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, stop)
with make_server("127.0.0.1", 0, OpenTelemetryMiddleware(pass_on), handler_class=Quiet) as server:
    print(f"python-service listens on http://127.0.0.1:{server.server_port}", flush=True)
    try:
        server.serve_forever()
    finally:
        provider.shutdown()
