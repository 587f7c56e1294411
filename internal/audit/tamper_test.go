package audit_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"

	"sallyport/internal/audit"
)

// smallLog writes a log with three checkpoints, and records behind the last one.
func smallLog(t testing.TB) (log, checkpoints []byte) {
	t.Helper()
	o := testOptions(t)
	for run := range 2 {
		l := open(t, o)
		for i := range 3 {
			if err := l.Authorise(context.Background(), sample(fmt.Sprintf("req-%d-%d", run, i))); err != nil {
				t.Fatal(err)
			}
		}
		if run == 0 {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	log, checkpoints = read(t, o.Path), read(t, o.Path+".checkpoints")
	if r := verifyBytes(t, log, checkpoints); !r.OK || r.Checkpoints != 3 || r.Records != 9 ||
		r.Unanchored != (audit.Range{From: 7, To: 9}) {
		t.Fatalf("the log to tamper with: %+v", r)
	}
	return log, checkpoints
}

func TestEveryFlippedByteIsFound(t *testing.T) {
	log, checkpoints := smallLog(t)
	flip := func(name string, file []byte, masks ...byte) {
		for i := range file {
			for _, mask := range masks {
				file[i] ^= mask
				if r := verifyBytes(t, log, checkpoints); r.OK || r.FirstBad == nil {
					t.Errorf("%s: byte %d (%q in place of %q) changed and not found", name, i, file[i], file[i]^mask)
				}
				file[i] ^= mask
			}
		}
	}
	flip("log", log, 0x01)
	flip("checkpoints", checkpoints, 0x01, 0x20) // the second changes case, which encoding/json overlooks
}

func TestTheFirstBadRecordIsNamed(t *testing.T) {
	log, checkpoints := smallLog(t)
	lines := slices.Collect(bytes.Lines(log))
	offset := 0
	for i, line := range lines {
		at := offset + bytes.Index(line, []byte(`"event":"`)) + len(`"event":"`)
		log[at] ^= 0x02
		r := verifyBytes(t, log, checkpoints)
		log[at] ^= 0x02
		got := audit.Problem{In: r.FirstBad.In, Line: r.FirstBad.Line, Seq: r.FirstBad.Seq, Offset: r.FirstBad.Offset}
		if want := (audit.Problem{In: audit.InLog, Line: i + 1, Seq: i + 1, Offset: int64(offset)}); got != want {
			t.Errorf("line %d changed: got %+v, want %+v", i+1, got, want)
		}
		offset += len(line)
	}
}

func TestEveryRemovedRecordIsFound(t *testing.T) {
	log, checkpoints := smallLog(t)
	lines := slices.Collect(bytes.Lines(log))
	for i := range lines {
		cut := bytes.Join(slices.Delete(slices.Clone(lines), i, i+1), nil)
		r := verifyBytes(t, cut, checkpoints)
		// Without the newest unanchored record the log is the log of a moment ago.
		if r.OK != (i == len(lines)-1) {
			t.Errorf("record %d removed: %+v", i+1, r)
		}
	}
}

func TestEveryMovedOrRepeatedRecordIsFound(t *testing.T) {
	log, checkpoints := smallLog(t)
	lines := slices.Collect(bytes.Lines(log))
	for i := range lines {
		for j := range i {
			swapped := slices.Clone(lines)
			swapped[i], swapped[j] = swapped[j], swapped[i]
			if verifyBytes(t, bytes.Join(swapped, nil), checkpoints).OK {
				t.Errorf("records %d and %d swapped and not found", j+1, i+1)
			}
		}
		for j := range len(lines) + 1 {
			repeated := slices.Insert(slices.Clone(lines), j, lines[i])
			if verifyBytes(t, bytes.Join(repeated, nil), checkpoints).OK {
				t.Errorf("record %d repeated as line %d and not found", i+1, j+1)
			}
		}
	}
}

func TestEveryCutTailIsFoundUpToTheNewestCheckpoint(t *testing.T) {
	log, checkpoints := smallLog(t)
	anchored := endOfLine(log, 6)
	for n := range len(log) {
		r := verifyBytes(t, log[:n], checkpoints)
		whole := n == 0 || log[n-1] == '\n'
		if want := n >= anchored && whole; r.OK != want {
			t.Errorf("cut at byte %d of %d: OK = %v, want %v", n, len(log), r.OK, want)
		}
		if want := n < anchored; r.CutTail != want {
			t.Errorf("cut at byte %d of %d: CutTail = %v, want %v", n, len(log), r.CutTail, want)
		}
	}
}

func endOfLine(b []byte, n int) int {
	end := 0
	for range n {
		end += bytes.IndexByte(b[end:], '\n') + 1
	}
	return end
}

func TestMissingCheckpointsAreFound(t *testing.T) {
	log, checkpoints := smallLog(t)
	lines := slices.Collect(bytes.Lines(checkpoints))
	for i := range lines {
		if r := verifyBytes(t, log, bytes.Join(slices.Delete(slices.Clone(lines), i, i+1), nil)); r.OK {
			t.Errorf("checkpoint %d removed: %+v", i+1, r)
		}
		if r := verifyBytes(t, log, bytes.Join(lines[:i], nil)); r.OK {
			t.Errorf("checkpoints cut behind %d: %+v", i, r)
		}
	}
	for i := range lines {
		for j := range i {
			swapped := slices.Clone(lines)
			swapped[i], swapped[j] = swapped[j], swapped[i]
			if r := verifyBytes(t, log, bytes.Join(swapped, nil)); r.OK || r.FirstBad.In != audit.InCheckpoints {
				t.Errorf("checkpoints %d and %d swapped: %+v", j+1, i+1, r)
			}
		}
	}
}

func TestAHeadCutOffIsFound(t *testing.T) {
	log, checkpoints := smallLog(t)
	second := log[endOfLine(log, 5):] // begins with an opened record, as a log does
	if r := verifyBytes(t, second, checkpoints); r.OK || r.FirstBad.Line != 1 {
		t.Errorf("report: %+v", r)
	}
	if r := verifyBytes(t, second, nil); r.OK {
		t.Errorf("without checkpoints: %+v", r)
	}
}

func TestAnotherLogsRecordsAreFound(t *testing.T) {
	log, checkpoints := smallLog(t)
	other, otherCheckpoints := smallLog(t) // the same keys and events, another id
	lines, others := slices.Collect(bytes.Lines(log)), slices.Collect(bytes.Lines(other))
	for i := range lines {
		spliced := slices.Clone(lines)
		spliced[i] = others[i]
		if verifyBytes(t, bytes.Join(spliced, nil), checkpoints).OK {
			t.Errorf("record %d came from another log and was not found", i+1)
		}
	}
	if r := verifyBytes(t, log, otherCheckpoints); r.OK {
		t.Errorf("with another log's checkpoints: %+v", r)
	}
}

func TestVerifySaysWhatIsWrong(t *testing.T) {
	log, checkpoints := smallLog(t)
	lines := slices.Collect(bytes.Lines(log))
	for _, tt := range []struct {
		name   string
		line   []byte
		reason string
	}{
		{"twice", bytes.Replace(lines[1], []byte(`,"label"`), []byte(`,"token":"tok_2","label"`), 1), `the key "token" stands twice`},
		{"edited", bytes.Replace(lines[1], []byte("openai"), []byte("stripe"), 1), "the MAC does not match: this record was changed, or comes from another log"},
		{"missing", nil, "record 3 where 2 was expected: records are missing"},
		{"repeated", lines[0], "record 1 where 2 was expected: repeated, moved or from another log"},
		{"spaced", bytes.Replace(lines[1], []byte(`{"seq":2,`), []byte(`{"seq": 2,`), 1), "the line is not spelled as a record is written"},
		{"long", append(bytes.Repeat([]byte("x"), 70<<10), '\n'), "the line is longer than any record"},
		{"endless", append(bytes.Repeat([]byte("x"), 700<<10), '\n'), "the line is longer than any record"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			changed := slices.Clone(lines)
			changed[1] = tt.line
			r := verifyBytes(t, bytes.Join(changed, nil), checkpoints)
			if r.FirstBad == nil || r.FirstBad.Reason != tt.reason || r.FirstBad.Line != 2 {
				t.Errorf("got %+v, want line 2: %s", r.FirstBad, tt.reason)
			}
		})
	}
}

func TestAWrongKeyIsNoMatch(t *testing.T) {
	log, checkpoints := smallLog(t)
	keys := testKeys().Public()
	keys.Chain = bytes.Repeat([]byte{8}, 32)
	r, err := audit.Verify(t.Context(), bytes.NewReader(log),
		audit.VerifyOptions{Keys: keys, Checkpoints: bytes.NewReader(checkpoints)})
	if err != nil || r.OK || r.FirstBad.Seq != 1 {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestWithoutCheckpointsNothingIsAnchored(t *testing.T) {
	log, _ := smallLog(t)
	r, err := audit.Verify(t.Context(), bytes.NewReader(log), audit.VerifyOptions{Keys: testKeys().Public()})
	if err != nil || !r.OK || r.Anchored != (audit.Range{}) || r.Unanchored != (audit.Range{From: 1, To: 9}) {
		t.Errorf("got %+v, %v", r, err)
	}
}

// TestAnOlderLogStillHolds reads a log that is kept in testdata: the format is a promise.
func TestAnOlderLogStillHolds(t *testing.T) {
	r := verifyBytes(t, read(t, "testdata/v1.log"), read(t, "testdata/v1.log.checkpoints"))
	if !r.OK || r.Records != 9 || r.Anchored != (audit.Range{From: 1, To: 6}) {
		t.Errorf("report: %+v", r)
	}
}

func FuzzVerify(f *testing.F) {
	log, checkpoints := read(f, "testdata/v1.log"), read(f, "testdata/v1.log.checkpoints")
	f.Add(log, checkpoints)
	f.Add(log[:len(log)-1], checkpoints)
	f.Add(log, checkpoints[:len(checkpoints)-1])
	f.Add([]byte(`{"seq":1,"time":"","event":"opened","mac":""}`+"\n"), []byte("{}\n"))
	f.Fuzz(func(t *testing.T, l, c []byte) {
		r, err := audit.Verify(t.Context(), bytes.NewReader(l),
			audit.VerifyOptions{Keys: testKeys().Public(), Checkpoints: bytes.NewReader(c)})
		if err != nil {
			t.Fatal(err)
		}
		if r.OK == (r.FirstBad != nil) {
			t.Errorf("OK and FirstBad disagree: %+v", r)
		}
		// Without the keys nobody makes a log that holds, except the one of an earlier moment.
		if earlier := bytes.HasPrefix(log, l) && bytes.HasPrefix(checkpoints, c); r.OK && !earlier {
			t.Errorf("accepted %q with %q", l, c)
		}
		for line := range bytes.Lines(l) {
			_, _ = audit.Format(line)
		}
	})
}
