package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"
)

// LoadCounts are what became of the calls of webhooks.
type LoadCounts struct {
	Succeeded int         // 200, which n8n answers when the execution has ended well
	Refused   int         // nobody listened: nothing was begun
	Cut       int         // the connection broke off while the answer was awaited: the database knows what became of it
	Others    map[int]int // by status
}

// Other is how many calls were answered with another status than 200.
func (c LoadCounts) Other() (n int) {
	for _, count := range c.Others {
		n += count
	}
	return n
}

func (c LoadCounts) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d succeeded, %d found nobody, %d were cut off", c.Succeeded, c.Refused, c.Cut)
	for status, n := range c.Others {
		fmt.Fprintf(&text, ", %d got %d", n, status)
	}
	return text.String()
}

// Load runs workflows over their webhooks, each again and again, until Stop. Each call has a connection of its own: on
// one that is kept, n8n 2.41 takes calls for as long as it shuts down, and is then ended in the middle of them.
type Load struct {
	url    string
	client *http.Client
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu     sync.Mutex
	counts LoadCounts
}

// NewLoad starts one. Runs of one workflow do not overlap; those of different ones do.
func (n *N8N) NewLoad(ctx context.Context, workflows ...*Workflow) *Load {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // it outlives the chapter that starts it
	l := &Load{
		url: n.URL, cancel: cancel, counts: LoadCounts{Others: map[int]int{}},
		client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 2 * time.Minute},
	}
	for _, w := range workflows {
		l.done.Go(func() { l.run(ctx, w.path) })
	}
	return l
}

// Counts is how many there were so far.
func (l *Load) Counts() LoadCounts {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.counts
	c.Others = map[int]int{}
	maps.Copy(c.Others, l.counts.Others)
	return c
}

// Stop begins no more runs, waits for the answers to those that were begun, and returns the counts.
func (l *Load) Stop() LoadCounts {
	l.cancel()
	l.done.Wait()
	return l.Counts()
}

func (l *Load) run(ctx context.Context, path string) {
	pace := time.NewTicker(200 * time.Millisecond)
	defer pace.Stop()
	for ctx.Err() == nil {
		if l.call(context.WithoutCancel(ctx), path) {
			continue
		}
		select { // what is down is not hammered
		case <-ctx.Done():
		case <-pace.C:
		}
	}
}

// call tells whether n8n has answered that an execution has ended well.
func (l *Load) call(ctx context.Context, path string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url+"/webhook/"+path, bytes.NewReader([]byte("{}")))
	if err != nil {
		panic(err) // a URL of the lab's own
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := l.client.Do(req)
	if err == nil {
		resp.Body.Close()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case errors.Is(err, syscall.ECONNREFUSED) || (err != nil && strings.Contains(err.Error(), "connection refused")):
		l.counts.Refused++
	case err != nil:
		l.counts.Cut++
	case resp.StatusCode == http.StatusOK:
		l.counts.Succeeded++
		return true
	default:
		l.counts.Others[resp.StatusCode]++
	}
	return false
}
