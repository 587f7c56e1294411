package sink_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/audit"
	"sallyport/internal/audit/sink"
)

// memory is a sink that keeps what it is sent, unless it is told otherwise.
type memory struct {
	mu   sync.Mutex
	ship func(ctx context.Context, batch []sink.Item) error // nil: takes it
	got  []sink.Item
}

func (m *memory) Ship(ctx context.Context, batch []sink.Item) error {
	m.mu.Lock()
	ship := m.ship
	m.mu.Unlock()
	if ship != nil {
		if err := ship(ctx, batch); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.got = append(m.got, batch...)
	return nil
}

func (m *memory) Close() error { return nil }

func (m *memory) be(ship func(context.Context, []sink.Item) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ship = ship
}

func (m *memory) seqs() (list []int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, item := range m.got {
		list = append(list, item.Seq)
	}
	return list
}

// bed is a log with a sink.
type bed struct {
	*testing.T

	o       audit.Options
	log     *audit.Log
	memory  *memory
	cursors *sink.Cursors
	logged  bytes.Buffer
	waits   []time.Duration
	now     time.Time
	gaps    []sink.Gap
	options func(*sink.Options)
}

func newBed(t *testing.T) *bed {
	b := &bed{T: t, memory: new(memory), cursors: &sink.Cursors{Path: filepath.Join(t.TempDir(), "cursors")}}
	b.now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	b.o = audit.Options{Path: filepath.Join(t.TempDir(), "audit.log"), Sync: time.Hour, Keys: audit.Keys{
		Chain: bytes.Repeat([]byte{1}, 32), Sign: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32)),
	}}
	b.open()
	t.Cleanup(func() { _ = b.log.Close() })
	return b
}

func (b *bed) open() {
	b.Helper()
	var err error
	if b.log, err = audit.Open(b.Context(), b.o); err != nil {
		b.Fatal(err)
	}
}

func (b *bed) close() {
	b.Helper()
	if err := b.log.Close(); err != nil {
		b.Fatal(err)
	}
}

func (b *bed) write(n int) {
	b.Helper()
	for range n {
		if err := b.log.Admin(b.Context(), &audit.Event{Action: "secret.set"}); err != nil {
			b.Fatal(err)
		}
	}
}

// run has a new Shipper work until it has waited so many times, or has nothing more to do.
func (b *bed) run(most int) sink.Status {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var s *sink.Shipper
	n := 0
	o := sink.Options{
		Name: "one", Sink: b.memory, Source: sink.Records(b.log, b.o.Path), Cursors: b.cursors, Format: sink.AsItem,
		Batch: 10, Timeout: time.Minute, Log: slog.New(slog.NewTextHandler(&b.logged, nil)),
		Now: func() time.Time { return b.now },
		Gap: func(_ context.Context, gap sink.Gap) error {
			b.gaps = append(b.gaps, gap)
			return nil
		},
		Wait: func(ctx context.Context, d time.Duration) error {
			b.waits = append(b.waits, d)
			b.now = b.now.Add(d)
			n++
			if st := s.Status(); n >= most || st.Behind == 0 && st.Why == "" {
				cancel()
			}
			return ctx.Err()
		},
	}
	if b.options != nil {
		b.options(&o)
	}
	s = sink.New(o)
	s.Run(ctx)
	return s.Status()
}

// mustHave fails unless the receiver has from..to, each of them at least once.
func (b *bed) mustHave(from, to int) {
	b.Helper()
	got := b.memory.seqs()
	for seq := from; seq <= to; seq++ {
		if !slices.Contains(got, seq) {
			b.Fatalf("number %d of %d to %d is not there: %v", seq, from, to, got)
		}
	}
}

// TestBackAfterADay: a receiver that was away gets all of it, and asking for it costs a try a minute at the most.
func TestBackAfterADay(t *testing.T) {
	b := newBed(t)
	b.write(5)
	b.run(100)
	b.memory.be(func(context.Context, []sink.Item) error { return errors.New("away") })
	b.write(200)
	b.waits = nil
	st := b.run(1440)
	if st.Failures < 1440 || st.Why != "away" || st.Behind != 200 {
		t.Errorf("status %+v", st)
	}
	for i, wait := range b.waits {
		if want := min(time.Second<<min(i, 10), time.Minute); wait != want {
			t.Fatalf("wait %d is %s, want %s", i, wait, want)
		}
	}
	if n := strings.Count(b.logged.String(), "level=WARN"); n != 1 {
		t.Errorf("the outage is logged %d times", n)
	}
	b.memory.be(nil)
	if st := b.run(100); st.Behind != 0 || st.Shipped != 200 {
		t.Errorf("status %+v", st)
	}
	b.mustHave(1, b.log.Stats().Seq)
	if got := b.memory.seqs(); len(got) != b.log.Stats().Seq {
		t.Errorf("%d arrived, of %d", len(got), b.log.Stats().Seq)
	}
}

// TestReceiverSaysWhen: what a receiver asks for counts, within ten minutes.
func TestReceiverSaysWhen(t *testing.T) {
	b := newBed(t)
	b.memory.be(func(context.Context, []sink.Item) error {
		return fmt.Errorf("busy: %w", &sink.WaitError{After: 90 * time.Second, Err: errors.New("full")})
	})
	b.run(3)
	b.memory.be(func(context.Context, []sink.Item) error {
		return &sink.WaitError{After: 1000 * time.Hour, Err: errors.New("full")}
	})
	b.run(1)
	if want := []time.Duration{90e9, 90e9, 90e9, 600e9}; !slices.Equal(b.waits, want) {
		t.Errorf("waits %v, want %v", b.waits, want)
	}
}

// TestSmallerBatches: a receiver that takes little at once gets little at once, and more again later.
func TestSmallerBatches(t *testing.T) {
	b := newBed(t)
	b.write(30)
	b.memory.be(func(_ context.Context, batch []sink.Item) error {
		if len(batch) > 2 {
			return fmt.Errorf("no: %w", sink.ErrTooLarge)
		}
		return nil
	})
	if st := b.run(100); st.Behind != 0 {
		t.Errorf("status %+v", st)
	}
	b.mustHave(1, 31)
	b.memory.be(func(context.Context, []sink.Item) error { return fmt.Errorf("no: %w", sink.ErrTooLarge) })
	b.write(1)
	if st := b.run(3); st.Behind != 1 || st.Why == "" {
		t.Errorf("one that is too large by itself: %+v", st)
	}
}

// TestGap: what was removed before it was shipped is on record with its range, once, and the rest arrives.
func TestGap(t *testing.T) {
	b := newBed(t)
	b.write(3)
	b.run(100)
	last := b.log.Stats().Seq
	for range 2 {
		b.write(20)
		if _, err := b.log.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ended, err := filepath.Glob(filepath.Join(filepath.Dir(b.o.Path), "audit-0*"))
	if err != nil || len(ended) != 2 {
		t.Fatalf("%v %v", ended, err)
	}
	if err := os.Remove(ended[0]); err != nil {
		t.Fatal(err)
	}
	b.memory.be(func(context.Context, []sink.Item) error { return errors.New("away") })
	b.run(3) // a receiver that is away meanwhile does not have it told again
	b.memory.be(nil)
	st := b.run(100)
	if len(b.gaps) != 1 || b.gaps[0].Range.From != last+1 || b.gaps[0].Range.To < last+20 {
		t.Fatalf("gaps %v", b.gaps)
	}
	if n := b.gaps[0].Range.To - last; st.Skipped != n || !strings.Contains(b.logged.String(), "level=ERROR") {
		t.Errorf("%d of %d are counted; logged:\n%s", st.Skipped, n, b.logged.String())
	}
	b.mustHave(b.gaps[0].Range.To+1, b.log.Stats().Seq)
	if again := b.run(100); again.Skipped != st.Skipped || len(b.gaps) != 1 {
		t.Errorf("after a restart %+v, gaps %v", again, b.gaps)
	}
}

// TestGapIsOnRecordFirst: a gap that cannot be put on record is not passed.
func TestGapIsOnRecordFirst(t *testing.T) {
	b := newBed(t)
	b.write(3)
	b.run(100)
	b.write(20)
	if _, err := b.log.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	ended, _ := filepath.Glob(filepath.Join(filepath.Dir(b.o.Path), "audit-0*"))
	if err := os.Remove(ended[0]); err != nil {
		t.Fatal(err)
	}
	told := errors.New("the disk is full")
	b.options = func(o *sink.Options) { o.Gap = func(context.Context, sink.Gap) error { return told } }
	before := len(b.memory.seqs())
	if st := b.run(2); !strings.Contains(st.Why, told.Error()) || len(b.memory.seqs()) != before {
		t.Errorf("status %+v", st)
	}
}

// TestAnotherLog: where a new log was begun, the sink begins with it, and says what it misses of the old one.
func TestAnotherLog(t *testing.T) {
	b := newBed(t)
	b.write(3)
	b.run(100)
	b.close()
	last := b.log.Stats().Seq // with records that were not shipped
	for _, name := range []string{b.o.Path, b.o.Path + ".checkpoints"} {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	b.open()
	b.write(7)
	b.memory.got = nil
	st := b.run(100)
	b.mustHave(1, b.log.Stats().Seq)
	if len(b.gaps) != 1 || b.gaps[0].Range.To != 0 || b.gaps[0].Range.From > last || st.Skipped == 0 {
		t.Errorf("gaps %v, status %+v", b.gaps, st)
	}
}

// TestAnotherLogOnce: a cursor that cannot be saved keeps nobody from beginning with another log, and what is missed is
// told of once: it stands in the log, which would fill up.
func TestAnotherLogOnce(t *testing.T) {
	b := newBed(t)
	b.write(3)
	b.run(100)
	b.close()
	for _, name := range []string{b.o.Path, b.o.Path + ".checkpoints"} {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	b.open()
	b.write(7)
	b.memory.got = nil
	b.options = func(o *sink.Options) {
		told := o.Gap
		o.Gap = func(ctx context.Context, gap sink.Gap) error { // from now on no cursor can be saved
			if err := os.RemoveAll(b.cursors.Path); err != nil {
				return err
			}
			return errors.Join(told(ctx, gap), os.WriteFile(b.cursors.Path, nil, 0o600))
		}
	}
	st := b.run(5)
	b.mustHave(1, b.log.Stats().Seq)
	if len(b.gaps) != 1 || st.Skipped != 1 || st.Why == "" {
		t.Errorf("gaps %v, status %+v", b.gaps, st)
	}
}

// TestPowerCut: records that were shipped and then lost are not taken for those that have their numbers now.
func TestPowerCut(t *testing.T) {
	b := newBed(t)
	b.write(20)
	b.run(100)
	b.close()
	copies := map[string][]byte{}
	for _, name := range []string{b.o.Path, b.o.Path + ".checkpoints"} {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		copies[name] = content
	}
	b.open()
	b.run(100)
	b.write(30)
	b.run(100)
	b.close() // and the disk had nothing of it
	for name, content := range copies {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b.open()
	b.write(40)
	before := len(b.memory.seqs())
	if st := b.run(100); st.Behind != 0 {
		t.Errorf("status %+v", st)
	}
	texts := map[string]bool{}
	for _, item := range b.memory.got[before:] {
		texts[string(item.Text)] = true
	}
	content, err := os.ReadFile(b.o.Path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
	cut := strings.Count(string(copies[b.o.Path]), "\n")
	for _, line := range lines[cut:] {
		if !texts[line] {
			t.Fatalf("the receiver does not have %s", line)
		}
	}
}

// TestCursorCannotBeSaved: with a full disk shipping goes on, and says so.
func TestCursorCannotBeSaved(t *testing.T) {
	b := newBed(t)
	if err := os.WriteFile(b.cursors.Path, nil, 0o600); err != nil { // no folder can be made here
		t.Fatal(err)
	}
	b.write(50)
	st := b.run(3)
	b.mustHave(1, 51)
	if st.Why == "" || st.Behind != 0 {
		t.Errorf("status %+v", st)
	}
	if err := os.Remove(b.cursors.Path); err != nil {
		t.Fatal(err)
	}
	if st := b.run(10); st.Why != "" {
		t.Errorf("with room again: %+v", st)
	}
	n := len(b.memory.seqs())
	if b.run(10); len(b.memory.seqs()) != n {
		t.Error("the cursor is not saved when there is room again")
	}
}

// TestCursorIsSpoiled: one that cannot be read is no reason to miss anything.
func TestCursorIsSpoiled(t *testing.T) {
	for name, content := range map[string]string{
		"empty": "", "cut": `{"at":{"log":"x"`, "no place": `{"at":{"seq":-1}}`, "another thing": "[]",
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			b.options = func(o *sink.Options) { o.FromNewest = true }
			if err := os.MkdirAll(b.cursors.Path, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(b.cursors.Path, "one.json"), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			b.write(5)
			b.run(10)
			b.mustHave(1, 6)
		})
	}
}

// TestFromNewest: a new sink that begins with what comes next gets just that, also when nothing came before a restart.
func TestFromNewest(t *testing.T) {
	b := newBed(t)
	b.options = func(o *sink.Options) { o.FromNewest = true }
	b.write(5)
	b.run(2)
	b.write(2)
	b.run(10)
	if got := b.memory.seqs(); !slices.Equal(got, []int{7, 8}) {
		t.Errorf("got %v", got)
	}
}

// TestPanic: a sink with a mistake in it is a sink that fails.
func TestPanic(t *testing.T) {
	b := newBed(t)
	b.memory.be(func(context.Context, []sink.Item) error { panic("canary of a panic") })
	if st := b.run(2); st.Failures != 2 || strings.Contains(st.Why, "canary") {
		t.Errorf("status %+v", st)
	}
}

// TestCheckpoints: checkpoints are shipped in the same way.
func TestCheckpoints(t *testing.T) {
	b := newBed(t)
	b.options = func(o *sink.Options) {
		o.Source, o.Format = sink.Checkpoints(b.log, b.o.Path+".checkpoints"), sink.AsCheckpoint
	}
	for range 3 {
		b.write(2)
		if _, err := b.log.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.run(10)
	}
	n := b.log.Stats().Checkpoint.Number
	if got := b.memory.seqs(); len(got) != n || got[n-1] != n {
		t.Errorf("of %d checkpoints the receiver has %v", n, got)
	}
}

// TestLag: how long a record has waited is told, also when the receiver never took one.
func TestLag(t *testing.T) {
	b := newBed(t)
	b.now = time.Now()
	b.memory.be(func(context.Context, []sink.Item) error { return errors.New("away") })
	st := b.run(5)
	if lag := st.Lag(b.now.Add(time.Hour)); lag < time.Hour || lag > 2*time.Hour {
		t.Errorf("it is %s behind", lag)
	}
	b.memory.be(nil)
	if st := b.run(5); st.Lag(b.now.Add(time.Hour)) != 0 {
		t.Errorf("it has everything, and is %s behind", st.Lag(b.now))
	}
}
