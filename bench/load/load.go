// Package load is a closed-loop HTTP/1.1 load generator: a fixed number of keep-alive connections, each with one
// request under way at any time. It writes one ready-made request over and over and reads answers with next to no work,
// so that on a small machine the proxy between the two ends is what costs.
//
// It measures nothing that went wrong: the first answer that is not 200, or shorter than it must be, ends the run with
// an error.
package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/bench/wire"
)

// Options say what to send where, and for how long.
type Options struct {
	Address     string // host:port, dialled as it is
	Request     string // the whole request; it has no body
	Connections int
	BodyBytes   int64         // length of every answer's body
	Warmup      time.Duration // sent, not counted
	Duration    time.Duration // counted; 0: until Requests are done
	Requests    int64         // with Duration 0; counted from the first, without a warm-up

	Measuring func() `json:"-"` // called once, when counting begins
	// with Requests: called about every Every requests, from one goroutine at a time
	Progress func(done int64) `json:"-"`
	Every    int64
}

// Result is what was counted.
type Result struct {
	Requests int64         `json:"requests"`
	Elapsed  time.Duration `json:"elapsed"`
	P50      time.Duration `json:"p50"`
	P99      time.Duration `json:"p99"`
}

// The phases of a run, in order.
const (
	warming int32 = iota
	counting
	done
)

type run struct {
	Options
	phase    atomic.Int32
	finished atomic.Int64 // requests, with Options.Requests
	reported sync.Mutex   // held while Progress runs
}

// Run sends until the time is over, the requests are done, ctx ends, or an answer is wrong.
func Run(ctx context.Context, options Options) (Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &run{Options: options}
	latencies := make([]Histogram, options.Connections)
	if options.Warmup == 0 {
		r.begin()
	}
	began := time.Now()
	var workers sync.WaitGroup
	for i := range latencies {
		workers.Go(func() {
			if err := r.work(ctx, &latencies[i]); err != nil {
				cancel(err)
			}
		})
	}
	if options.Duration > 0 {
		began = r.keepTime(ctx, began)
	}
	workers.Wait()
	elapsed := time.Since(began)
	if err := context.Cause(ctx); err != nil {
		return Result{}, fmt.Errorf("loading %s: %w", options.Address, err)
	}
	var all Histogram
	for i := range latencies {
		all.Merge(&latencies[i])
	}
	return Result{Requests: all.Total(), Elapsed: elapsed, P50: all.Percentile(0.50), P99: all.Percentile(0.99)}, nil
}

// keepTime ends the warm-up and the counting when their time has come, and returns when counting began.
func (r *run) keepTime(ctx context.Context, began time.Time) time.Time {
	timer := time.NewTimer(r.Warmup)
	defer timer.Stop()
	if r.Warmup > 0 {
		select {
		case <-ctx.Done():
			return began
		case <-timer.C:
		}
		r.begin()
		began = time.Now()
	}
	timer.Reset(r.Duration)
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
	r.phase.Store(done)
	return began
}

func (r *run) begin() {
	r.phase.Store(counting)
	if r.Measuring != nil {
		r.Measuring()
	}
}

// work is one connection.
func (r *run) work(ctx context.Context, latencies *Histogram) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", r.Address)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { closeQuietly(conn) })
	defer stop()
	defer closeQuietly(conn)
	request, answers := []byte(r.Request), bufio.NewReaderSize(conn, 8<<10)
	for ctx.Err() == nil {
		phase := r.phase.Load()
		if phase == done {
			return nil
		}
		sent := time.Now()
		if _, err := conn.Write(request); err != nil {
			return fmt.Errorf("sending a request: %w", err)
		}
		if err := r.readAnswer(answers); err != nil {
			return err
		}
		if phase == counting {
			latencies.Add(time.Since(sent))
			r.countTowardsEnd()
		}
	}
	return nil
}

var errAnswer = errors.New("not the answer that was asked for")

func (r *run) readAnswer(answers *bufio.Reader) error {
	head, err := wire.ReadHead(answers, nil)
	if err != nil {
		return fmt.Errorf("reading an answer: %w", err)
	}
	if !strings.HasPrefix(head.First, "HTTP/1.1 200 ") {
		body, peekErr := answers.Peek(min(answers.Buffered(), 400))
		return errors.Join(fmt.Errorf("%w: %s: %s", errAnswer, head.First, body), peekErr)
	}
	n, err := wire.SkipBody(answers, head)
	if err != nil {
		return fmt.Errorf("reading an answer: %w", err)
	}
	if n != r.BodyBytes {
		return fmt.Errorf("%w: a body of %d bytes, not %d", errAnswer, n, r.BodyBytes)
	}
	if head.Close {
		return fmt.Errorf("%w: the connection is to be closed", errAnswer)
	}
	return nil
}

// countTowardsEnd ends a run of a given number of requests, and reports its progress.
func (r *run) countTowardsEnd() {
	if r.Requests == 0 {
		return
	}
	finished := r.finished.Add(1)
	if r.Progress != nil && finished%r.Every == 0 {
		r.reported.Lock()
		defer r.reported.Unlock()
		r.Progress(finished)
	}
	if finished >= r.Requests {
		r.phase.Store(done)
	}
}

// closeQuietly closes a connection that nothing more is expected of: the result does not depend on how that goes.
func closeQuietly(conn net.Conn) { _ = conn.Close() }
