"""A gRPC service in Python with the official instrumentations of gRPC and OTLP exporter, as they come: it passes calls on, as bytes."""

import os
import signal
import threading
from concurrent import futures

import grpc
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.grpc import GrpcInstrumentorClient, GrpcInstrumentorServer
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=50))
trace.set_tracer_provider(provider)
GrpcInstrumentorClient().instrument()
GrpcInstrumentorServer().instrument()

downstream = grpc.insecure_channel(os.environ["DOWNSTREAM"])


def ask(request, context):
    try:
        return downstream.unary_unary("/library.Desk/Ask")(request, timeout=10)
    except grpc.RpcError as error:
        context.abort(error.code(), error.details())


def list_all(request, _context):
    yield from downstream.unary_stream("/library.Desk/List")(request, timeout=10)


def collect(requests, _context):
    return downstream.stream_unary("/library.Desk/Collect")(iter(list(requests)), timeout=10)


def talk(requests, _context):
    yield from downstream.stream_stream("/library.Desk/Talk")(iter(list(requests)), timeout=10)


server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
handlers = {
    "Ask": grpc.unary_unary_rpc_method_handler(ask),
    "List": grpc.unary_stream_rpc_method_handler(list_all),
    "Collect": grpc.stream_unary_rpc_method_handler(collect),
    "Talk": grpc.stream_stream_rpc_method_handler(talk),
}
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("library.Desk", handlers),))
port = server.add_insecure_port("127.0.0.1:0")
server.start()

stopped = threading.Event()
signal.signal(signal.SIGTERM, lambda *_args: stopped.set())
signal.signal(signal.SIGINT, lambda *_args: stopped.set())
print(f"python-service listens on 127.0.0.1:{port}", flush=True)
stopped.wait()
server.stop(None)
provider.shutdown()
