// Package sinktest is what every kind of sink is held to: the contract of sink.Sink against receivers that take,
// refuse, block, lie, break off and go away, and a whole log that is shipped through all of that with nothing lost.
package sinktest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/audit"
	"sallyport/internal/audit/sink"
	"sallyport/internal/guard"
)

// World is a sink and its receiver.
type World struct {
	Open     func(t *testing.T) sink.Sink
	Receiver *Receiver
	// Stop has the receiver be away, Start has it be back at the same address.
	Stop, Start func()
	// Without are modes that the kind's protocol does not have.
	Without []Mode
	// Secret is what the receiver wants to see, and no error may show.
	Secret string
}

// Run holds a kind to the contract. world makes a new one for each test.
func Run(t *testing.T, world func(t *testing.T) *World) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, *World){
		"Takes": takes, "AnyText": anyText, "Refuses": failing(Refuse), "Breaks": failing(Break), "Lies": failing(Lie),
		"Blocks": hanging(Block), "Slow": hanging(Slow), "TooLarge": tooLarge, "Away": away, "Cancelled": cancelled,
		"WholeLog": wholeLog,
	} {
		t.Run(name, func(t *testing.T) { test(t, world(t)) })
	}
}

// items are some, as a log has them.
func items(from, n int) []sink.Item {
	list := make([]sink.Item, n)
	for i := range list {
		seq := from + i
		at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC).Add(time.Duration(seq) * time.Second)
		list[i] = sink.Item{
			Seq: seq, Time: at, Log: "log1",
			Text: fmt.Appendf(nil, `{"seq":%d,"time":%q,"event":"admin","action":"secret.set","mac":"m%d"}`, seq,
				at.Format("2006-01-02T15:04:05.000000Z"), seq),
			Event: audit.Event{Time: at, Kind: audit.KindAdmin, Action: "secret.set"},
		}
	}
	return list
}

func open(t *testing.T, w *World) sink.Sink {
	t.Helper()
	s := w.Open(t)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return s
}

// ship ships once, and looks at the error.
func (w *World) ship(ctx context.Context, t *testing.T, s sink.Sink, batch []sink.Item) error {
	t.Helper()
	err := s.Ship(ctx, batch)
	if err != nil && w.Secret != "" && strings.Contains(err.Error(), w.Secret) {
		t.Errorf("the error shows a secret: %v", err)
	}
	return err
}

func (w *World) mustHave(t *testing.T, want []sink.Item) {
	t.Helper()
	got := w.Receiver.Got()
	for _, item := range want {
		if !slices.Contains(got, item.Seq) {
			t.Errorf("the receiver has %v, and not %d", got, item.Seq)
		}
		if text := w.Receiver.Text(item.Seq); text != string(item.Text) {
			t.Errorf("number %d arrived as %q, want %q", item.Seq, text, item.Text)
		}
	}
}

// takes: what was shipped is there, in order and byte by byte.
func takes(t *testing.T, w *World) {
	s := open(t, w)
	var all []sink.Item
	for _, n := range []int{1, 7, 300} {
		batch := items(len(all)+1, n)
		if err := w.ship(t.Context(), t, s, batch); err != nil {
			t.Fatal(err)
		}
		all = append(all, batch...)
	}
	w.mustHave(t, all)
	if got := w.Receiver.Got(); !slices.IsSorted(got) || len(got) != len(all) {
		t.Errorf("they arrived as %v", got)
	}
}

// anyText: a record of the greatest size, and what people may write in one, does no harm.
func anyText(t *testing.T, w *World) {
	s := open(t, w)
	batch := items(1, 4)
	for i, text := range []string{
		`{"detail":"\u0000\u001b[31m\u2028\r\n <34>1 - - - ] \\\"]"}`, `{"d":"` + strings.Repeat("ü", 30000) + `"}`,
		`{"d":"\ud83d\ude00 'quoted' & <tag> %s %00"}`, `{"d":"` + "\u202e" + `"}`,
	} {
		batch[i].Text = []byte(text)
	}
	if err := w.ship(t.Context(), t, s, batch); err != nil {
		t.Fatal(err)
	}
	w.mustHave(t, batch)
}

// failing: an error when the receiver fails, and everything when it does not any more.
func failing(m Mode) func(*testing.T, *World) {
	return func(t *testing.T, w *World) {
		if slices.Contains(w.Without, m) {
			return
		}
		s := open(t, w)
		batch := items(1, 5)
		w.Receiver.Be(m)
		for range 2 {
			if err := w.ship(t.Context(), t, s, batch); err == nil {
				t.Fatal("it counts as shipped")
			}
		}
		w.Receiver.Be(Fine)
		if err := w.ship(t.Context(), t, s, batch); err != nil {
			t.Fatal(err)
		}
		w.mustHave(t, batch)
	}
}

// hanging: a receiver that hangs costs no more than the time it was given.
func hanging(m Mode) func(*testing.T, *World) {
	return func(t *testing.T, w *World) {
		if slices.Contains(w.Without, m) {
			return
		}
		s := open(t, w)
		batch := items(1, 5)
		w.Receiver.Be(m)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var shipping guard.Group
		shipping.Go("shipping", func() {
			if err := w.ship(ctx, t, s, batch); err == nil {
				t.Error("it counts as shipped")
			}
		})
		<-w.Receiver.reached
		cancel()
		shipping.Wait()
		w.Receiver.Be(Fine)
		if err := w.ship(t.Context(), t, s, batch); err != nil {
			t.Fatal(err)
		}
		w.mustHave(t, batch)
	}
}

// tooLarge: a receiver that does not take so much says so in a way that a smaller batch can follow.
func tooLarge(t *testing.T, w *World) {
	if slices.Contains(w.Without, TooLarge) {
		return
	}
	s := open(t, w)
	w.Receiver.Be(TooLarge)
	if err := w.ship(t.Context(), t, s, items(1, TooLargeAt+1)); !errors.Is(err, sink.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	batch := items(1, TooLargeAt)
	if err := w.ship(t.Context(), t, s, batch); err != nil {
		t.Fatal(err)
	}
	w.mustHave(t, batch)
}

// away: a receiver that is not there is an error, and back again none.
func away(t *testing.T, w *World) {
	s := open(t, w)
	batch := items(1, 5)
	if err := w.ship(t.Context(), t, s, batch); err != nil {
		t.Fatal(err)
	}
	w.Stop()
	next := items(6, 5)
	if err := w.ship(t.Context(), t, s, next); err == nil {
		t.Fatal("it counts as shipped")
	}
	w.Start()
	if err := w.ship(t.Context(), t, s, next); err != nil {
		t.Fatal(err)
	}
	w.mustHave(t, append(batch, next...))
}

// cancelled: with a context that has ended nothing counts as shipped.
func cancelled(t *testing.T, w *World) {
	s := open(t, w)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.ship(ctx, t, s, items(1, 1)); err == nil {
		t.Error("it counts as shipped")
	}
}

// wholeLog ships a log that is written, rotated and closed meanwhile, through all that a receiver can do and through
// restarts of the Shipper. Every record is there in the end.
func wholeLog(t *testing.T, w *World) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l, err := audit.Open(t.Context(), audit.Options{Path: path, Sync: time.Hour, Keys: audit.Keys{
		Chain: bytes.Repeat([]byte{1}, 32), Sign: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32)),
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // a test
	cursors := &sink.Cursors{Path: t.TempDir()}
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same each time
	modes := slices.DeleteFunc([]Mode{Refuse, Break, Lie, TooLarge}, func(m Mode) bool {
		return slices.Contains(w.Without, m)
	})
	for range 12 {
		for range 20 {
			if err := l.Admin(t.Context(), &audit.Event{Action: "secret.set", Detail: "\n<34>1 ü"}); err != nil {
				t.Fatal(err)
			}
		}
		if random.IntN(3) == 0 {
			if _, err := l.Rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		w.Receiver.Be(modes[random.IntN(len(modes))])
		s := w.Open(t)
		ship(t, l, path, cursors, s, func(tries int) { // restarted in the middle, or up to date
			if tries == 2 {
				w.Receiver.Be(Fine)
			}
		}, 1+random.IntN(4))
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	w.Receiver.Be(Fine)
	s := open(t, w)
	ship(t, l, path, cursors, s, func(int) {}, 1000)
	has := make(map[int]bool)
	for _, seq := range w.Receiver.Got() {
		has[seq] = true
	}
	newest := l.Stats().Seq
	for seq := 1; seq <= newest; seq++ {
		if !has[seq] {
			t.Errorf("of %d records, number %d is not there", newest, seq)
		}
	}
}

// ship has a Shipper work until it has nothing more to do, or has waited so many times.
//
//nolint:revive // a test
func ship(t *testing.T, l *audit.Log, path string, cursors *sink.Cursors, to sink.Sink, waits func(int), most int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var s *sink.Shipper
	n := 0
	s = sink.New(sink.Options{
		Name: "one", Sink: to, Source: sink.Records(l, path), Cursors: cursors, Format: sink.AsItem, Batch: 16,
		Timeout: time.Minute, Log: slog.New(slog.DiscardHandler),
		Wait: func(ctx context.Context, _ time.Duration) error {
			n++
			waits(n)
			if st := s.Status(); n >= most || st.Behind == 0 && st.Why == "" {
				cancel()
			}
			return ctx.Err()
		},
	})
	s.Run(ctx)
}
