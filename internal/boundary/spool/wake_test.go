package spool_test

import (
	"errors"
	"io"
	"testing"

	"sallyport/internal/boundary/spool"
	"sallyport/internal/fault"
)

// waiting is a caller that has sent nothing yet; closing it wakes whoever reads.
type waiting struct {
	*io.PipeReader
	entered chan struct{}
}

func (w waiting) Read(p []byte) (int, error) {
	w.entered <- struct{}{}
	return w.PipeReader.Read(p)
}

// TestCloseWakes: a Read that waits for the caller ends when its sending is closed, and what the caller sends then is
// the next one's.
func TestCloseWakes(t *testing.T) {
	for name, o := range map[string]spool.Options{
		"kept": {}, "in a file": {Memory: 2},
		"beyond": {Memory: 2, Total: 3},
	} {
		t.Run(name, func(t *testing.T) {
			pr, pw := io.Pipe()
			caller := waiting{pr, make(chan struct{}, 8)}
			b := spool.New(caller, o)
			read := func(r io.Reader) chan error {
				result := make(chan error, 1)
				go func() {
					_, err := r.Read(make([]byte, 100))
					result <- err
				}()
				return result
			}
			first := rewind(t, b)
			result := read(first)
			<-caller.entered
			_ = first.Close()
			if err := <-result; !errors.Is(err, spool.ErrBodyClosed) {
				t.Errorf("closing the sending: got %v", err)
			}
			second := rewind(t, b)
			go func() { _, _ = pw.Write([]byte("all")) }()
			got := make([]byte, 3)
			if _, err := io.ReadFull(second, got); err != nil || string(got) != "all" {
				t.Errorf("the next sending: got %q, %v", got, err)
			}
			result = read(second)
			<-caller.entered
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			if err := <-result; !errors.Is(err, spool.ErrBodyClosed) {
				t.Errorf("closing the body: got %v", err)
			}
			if _, err := pw.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("the caller's body is still read: got %v", err)
			}
		})
	}
}

// TestPanicInTheCaller: the goroutine that reads the caller recovers nothing else.
func TestPanicInTheCaller(t *testing.T) {
	b := open(t, readerFunc(func([]byte) (int, error) { panic("a bug") }), spool.Options{})
	for range 2 {
		if _, err := rewind(t, b).Read(make([]byte, 1)); !isPanic(err) {
			t.Errorf("got %v", err)
		}
	}
	if _, _, err := b.Whole(t.Context()); !isPanic(err) {
		t.Errorf("all of it: got %v", err)
	}
}

func isPanic(err error) bool {
	_, ok := errors.AsType[*fault.Panic](err)
	return ok
}
