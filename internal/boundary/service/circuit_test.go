package service_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sallyport/internal/app"
	"sallyport/internal/boundary/egress"
	"sallyport/internal/boundary/service"
	"sallyport/internal/config"
	"sallyport/internal/fault"
)

// configured is a service as configuration describes it.
func configured(t *testing.T, yaml string) *config.Service {
	t.Helper()
	c, _, err := config.Parse(app.Kinds(), "sallyport.yaml",
		[]byte("services:\n  api:\n    upstream: http://127.0.0.1:1\n    secret: ref+builtin://x\n"+yaml), os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	return c.Services["api"]
}

func built(t *testing.T, yaml string) *service.Service {
	t.Helper()
	s, err := service.New("api", configured(t, yaml))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// connectError is what a dial ends with.
func connectError(errno syscall.Errno) error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", errno)}
}

// refusal is what a real dial to a closed port ends with, phase and all.
func refusal(t *testing.T) error {
	t.Helper()
	var got error
	tr, err := egress.New(egress.Options{
		Host: "127.0.0.1", Port: "1", AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
		Dialled: func(err error) {
			got = err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = tr.RoundTrip(request(t, "http://127.0.0.1:1/"))
	if err == nil || got == nil {
		t.Fatalf("got %v, and was told %v", err, got)
	}
	return got
}

func request(t *testing.T, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCircuit(t *testing.T) {
	now, refused := time.Now(), refusal(t)
	c := built(t, "    circuit: {failures: 3, pause: 1s, longest: 3s}\n").Circuit
	passes := func(want bool) (probe bool) {
		t.Helper()
		probe, f := c.Admit(now)
		if (f == nil) != want {
			t.Fatalf("got %v, want it to pass: %v", f, want)
		}
		if f != nil && (f.Code != fault.CircuitOpen || f.RetryAfter < time.Second) {
			t.Fatalf("got %+v", f)
		}
		return probe
	}
	fail := func(n int) {
		for range n {
			c.Dialled(now, refused)
		}
	}
	fail(2)
	passes(true)
	c.Dialled(now, nil)
	fail(2) // not in a row
	passes(true)
	fail(1)
	passes(false)
	if !c.Tell() || c.Tell() {
		t.Error("the opening is told once")
	}
	fail(5) // of requests that were under way: they do not lengthen the pause
	for _, pause := range []time.Duration{time.Second, 2 * time.Second, 3 * time.Second, 3 * time.Second} {
		now = now.Add(pause - time.Millisecond)
		passes(false)
		now = now.Add(time.Millisecond)
		if !passes(true) {
			t.Fatal("is no probe")
		}
		passes(false) // beside the probe
		fail(1)
		c.Probed()
		passes(false)
	}
	now = now.Add(3 * time.Second)
	passes(true)
	c.Probed() // its caller left: the next one tries
	if !passes(true) {
		t.Fatal("is no probe")
	}
	c.Dialled(now, nil)
	c.Probed()
	if passes(true) || c.Open() {
		t.Error("is still open")
	}
}

// TestCircuitStaysClosed: what is not the API's own failure to take a connection opens nothing.
func TestCircuitStaysClosed(t *testing.T) {
	c := built(t, "    circuit: {failures: 1}\n").Circuit
	for name, err := range map[string]error{
		"descriptors": connectError(syscall.EMFILE), "ports": connectError(syscall.EADDRNOTAVAIL), "memory": connectError(syscall.ENOMEM), "firewall": connectError(syscall.EPERM),
		"descriptors, by the resolver": &net.DNSError{Err: "dial udp: socket: too many open files", Name: "x"},
		"prohibited":                   &egress.ProhibitedError{Class: egress.Private}, "the caller left": context.Canceled,
	} {
		if c.Dialled(time.Now(), err); c.Open() {
			t.Fatalf("%s opens it", name)
		}
	}
	never := built(t, "    circuit: {failures: 0}\n").Circuit
	for range 100 {
		never.Dialled(time.Now(), errors.New("closed"))
	}
	if never.Open() {
		t.Error("failures: 0 opens")
	}
}

// TestOneProbe: of many requests that come after the pause, one tries.
func TestOneProbe(t *testing.T) {
	now, refused := time.Now(), refusal(t)
	c := built(t, "    circuit: {failures: 1}\n").Circuit
	c.Dialled(now, refused)
	now = now.Add(time.Minute)
	var probes, passed atomic.Int64
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			switch probe, f := c.Admit(now); {
			case probe:
				probes.Add(1)
			case f == nil:
				passed.Add(1)
			}
		})
	}
	wg.Wait()
	if probes.Load() != 1 || passed.Load() != 0 {
		t.Errorf("%d probes, and %d passed beside them", probes.Load(), passed.Load())
	}
}

// TestInherit: a reload forgets neither an open circuit nor the places that are held, unless it is another API now.
func TestInherit(t *testing.T) {
	before := built(t, "    circuit: {failures: 1}\n    limits: {concurrency: 2, rate: 1/h, burst: 2}\n")
	before.Circuit.Dialled(time.Now(), refusal(t))
	if f := before.Limits.Acquire(time.Now()); f != nil {
		t.Fatal(f)
	}
	after := built(t,
		"    circuit: {failures: 2}\n    limits: {concurrency: 2, rate: 1/h, burst: 2}\n    allow: [\"GET /x\"]\n")
	after.Inherit(before)
	if _, f := after.Circuit.Admit(time.Now()); f == nil {
		t.Error("the circuit was forgotten")
	}
	if f := after.Limits.Acquire(time.Now()); f != nil {
		t.Errorf("the second: %v", f)
	}
	if f := after.Limits.Acquire(time.Now()); f == nil {
		t.Error("a third one got a place")
	}
	after.Limits.Release()
	if before.Limits.Release(); after.Limits.Active() != 0 {
		t.Errorf("%d places are held", after.Limits.Active())
	}
	if f := after.Limits.Acquire(time.Now()); f == nil {
		t.Error("the rate began from the start")
	}
	c := configured(t, "")
	c.Upstream.Host = "127.0.0.2:1"
	elsewhere, err := service.New("api", c)
	if err != nil {
		t.Fatal(err)
	}
	if elsewhere.Inherit(before); elsewhere.Circuit.Open() {
		t.Error("another API has the circuit of the former one")
	}
}
