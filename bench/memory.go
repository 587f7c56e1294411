package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"time"

	"sallyport/bench/load"
	"sallyport/bench/proxy"
	"sallyport/bench/upstream"
)

const (
	streamBytes  = 2 << 30
	streamAim    = 64 << 20 // the gate's peak memory while a body of streamBytes passes
	soakRequests = 1_000_000
	soakEvery    = 100_000
)

// stream passes 2 GiB down and 2 GiB up through the gate, over a plain and a TLS upstream.
func stream(ctx context.Context, l *lab) error {
	for _, api := range []proxy.API{l.plain, l.tls} {
		gate, err := l.start(ctx, proxy.Gate(l.gate), api)
		if err != nil {
			return err
		}
		err = errors.Join(
			pass(ctx, gate, fmt.Sprintf("download from %s", api.URL()), http.MethodGet,
				fmt.Sprintf("/download/%d", int64(streamBytes))),
			pass(ctx, gate, fmt.Sprintf("upload to %s", api.URL()), http.MethodPost, "/upload"))
		gate.Stop()
		if err != nil {
			return err
		}
	}
	return nil
}

// pass sends one large body one way and prints what it took.
func pass(ctx context.Context, gate *proxy.Proxy, what, method, path string) error {
	var body io.Reader = http.NoBody
	want := int64(streamBytes)
	if method == http.MethodPost {
		body, want = io.LimitReader(zeros{}, streamBytes), upstream.DocumentBytes
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+gate.Address+gate.Prefix+path, body)
	if err != nil {
		return fmt.Errorf("making a request: %w", err)
	}
	req.Header = gate.HeaderFields()
	if method == http.MethodPost {
		req.ContentLength = streamBytes
	}
	began := time.Now()
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	defer client.CloseIdleConnections()
	answer, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("streaming (%s): %w", what, err)
	}
	defer func() { _ = answer.Body.Close() }()
	n, err := io.Copy(io.Discard, answer.Body)
	if err != nil || n != want || answer.StatusCode != http.StatusOK {
		return fmt.Errorf("streaming (%s): %s, %d of %d bytes: %w", what, answer.Status, n, want, err)
	}
	took := time.Since(began)
	used, err := gate.Usage()
	if err != nil {
		return err
	}
	report("%s: 2 GiB in %.1f s (%.0f MiB/s), peak memory so far %.1f MiB, under %d MiB: %t\n", what, took.Seconds(),
		float64(streamBytes>>20)/took.Seconds(), float64(used.Peak)/(1<<20), streamAim>>20, used.Peak < streamAim)
	return nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// soak sends a million requests and prints the gate's memory along the way.
func soak(ctx context.Context, l *lab) error {
	gate, err := l.start(ctx, proxy.Gate(l.gate), l.tls)
	if err != nil {
		return err
	}
	defer gate.Stop()
	connections := 1
	for _, n := range l.connections {
		if n <= 64 {
			connections = n
		}
	}
	report("%d requests over %d connections to a TLS upstream (%s)\n", soakRequests, connections, machine())
	var usageErr error
	result, err := l.load(ctx, load.Options{
		Address: gate.Address, Request: gate.Request("/v1/items?page=2&limit=50"), Connections: connections,
		BodyBytes: upstream.DocumentBytes, Requests: soakRequests, Every: soakEvery,
	}, func(n note) {
		if used, err := gate.Usage(); err != nil {
			usageErr = err
		} else if n.Progress > 0 {
			report("after %9d requests: memory %6.1f MiB, peak %6.1f MiB\n", n.Progress, float64(used.RSS)/(1<<20),
				float64(used.Peak)/(1<<20))
		}
	})
	if err := errors.Join(err, usageErr); err != nil {
		return err
	}
	report("%.0f requests/s, p50 %v, p99 %v\n", float64(result.Requests)/result.Elapsed.Seconds(),
		result.P50, result.P99)
	return nil
}

// report prints to the person who measures.
func report(format string, args ...any) { fmt.Fprintf(os.Stdout, format, args...) }

// machine says what a figure was measured on.
func machine() string { return fmt.Sprintf("%d cores, %s", runtime.NumCPU(), runtime.Version()) }
