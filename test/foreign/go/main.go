// A service in Go with the official instrumentation of net/http and OTLP exporter, both as they come: it passes a request on to its downstream.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"
)

func main() {
	stopped, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	exporter, err := otlptracehttp.New(stopped)
	if err != nil {
		log.Fatal(err)
	}
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter, trace.WithBatchTimeout(50*time.Millisecond)))
	otel.SetTracerProvider(provider)
	otel.SetTextMapPropagator(propagation.TraceContext{})

	client := http.Client{Transport: otelhttp.NewTransport(http.DefaultTransport)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(response http.ResponseWriter, request *http.Request) { passOn(&client, response, request) })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := http.Server{Handler: otelhttp.NewHandler(mux, "go-service")}
	go func() { _ = server.Serve(listener) }()
	fmt.Printf("go-service listens on http://%s\n", listener.Addr())

	<-stopped.Done()
	ending, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = server.Shutdown(ending)
	_ = provider.Shutdown(ending)
}

// One span of its own, with values of several kinds, around the call.
func passOn(client *http.Client, response http.ResponseWriter, request *http.Request) {
	ctx, span := otel.Tracer("go-service").Start(request.Context(), "pass on", oteltrace.WithAttributes(
		attribute.Int("hops", 1),
		attribute.StringSlice("via", []string{"go", "net/http"}),
	))
	defer span.End()
	outgoing, err := http.NewRequestWithContext(ctx, http.MethodGet, os.Getenv("DOWNSTREAM_URL"), nil)
	if err != nil {
		log.Fatal(err)
	}
	answer, err := client.Do(outgoing)
	if err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, "the downstream cannot be reached")
		response.WriteHeader(http.StatusBadGateway)
		return
	}
	defer func() { _ = answer.Body.Close() }()
	response.WriteHeader(answer.StatusCode)
	_, _ = io.Copy(response, answer.Body)
}
