"""A service instrumented by the OpenTelemetry SDK: `service.py ENDPOINT CALMLY`.

It is called twenty times a second, calls a second service for each, and exports spans, metrics and log records by
OTLP/HTTP. After so many calm calls every other one fails, until it is killed.
"""

import logging
import random
import sys
import time

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import Observation
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

endpoint, calmly = sys.argv[1], int(sys.argv[2])


def tracer(service, compression):
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", compression=compression)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=200))
    return provider.get_tracer("service")


resource = Resource.create({"service.name": "shop"})
shop, stock = tracer("shop", Compression.Gzip), tracer("stock", Compression.NoCompression)
reader = PeriodicExportingMetricReader(
    OTLPMetricExporter(endpoint=f"{endpoint}/v1/metrics", compression=Compression.Gzip), export_interval_millis=1000
)
meter = MeterProvider(resource=resource, metric_readers=[reader]).get_meter("service")
served = meter.create_counter("orders")
waited = meter.create_histogram("wait", unit="s")
meter.create_observable_gauge("queue.length", [lambda _: [Observation(7)]])
logs = LoggerProvider(resource=resource)
logs.add_log_record_processor(
    BatchLogRecordProcessor(OTLPLogExporter(endpoint=f"{endpoint}/v1/logs"), schedule_delay_millis=200)
)
logger = logging.getLogger("service")
logger.addHandler(LoggingHandler(logger_provider=logs))
logger.setLevel(logging.INFO)

dice, number = random.Random(1), 0
while True:
    number += 1
    fails = number > calmly and number % 2 == 0
    with shop.start_as_current_span(f"GET /order/{number}", kind=SpanKind.SERVER) as span:
        span.set_attribute("http.route", "/order/{id}")
        with shop.start_as_current_span("ask stock", kind=SpanKind.CLIENT):
            with stock.start_as_current_span("stock.Reserve", kind=SpanKind.SERVER):
                time.sleep(dice.uniform(0.01, 0.02))
        if fails:
            span.set_status(Status(StatusCode.ERROR, "stock is gone"))
            logger.error("order %d has failed: stock is gone", number)
        else:
            logger.info("order %d was served", number)
    served.add(1, {"ok": not fails})
    waited.record(dice.uniform(0.01, 0.1))
    time.sleep(0.03)
