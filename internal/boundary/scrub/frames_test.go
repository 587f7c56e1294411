package scrub_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"sallyport/internal/boundary/scrub"
)

// frame writes one frame of a server's.
func frame(op byte, final bool, payload string) []byte {
	b := []byte{op, 0}
	if final {
		b[0] |= 0x80
	}
	switch n := len(payload); {
	case n < 126:
		b[1] = byte(n)
	case n < 1<<16:
		b[1] = 126
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	default:
		b[1] = 127
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	return append(b, payload...)
}

const wsSecret = "sk-live_51H8xAbCdEf"

// TestFramesAnyCut cuts messages into frames at every place, with a ping in between, and the bytes into chunks at every
// place.
func TestFramesAnyCut(t *testing.T) {
	set := compile(wsSecret)
	text := "a " + wsSecret + " b"
	for cut := range len(text) + 1 {
		stars := strings.Repeat("*", len(wsSecret))
		masked := "a " + stars + " b"
		build := func(text string) []byte {
			return bytes.Join([][]byte{
				frame(1, false, text[:cut]), frame(9, true, "ping"), frame(0, false, ""),
				frame(0, true, text[cut:]), frame(2, true, "next"),
			}, nil)
		}
		raw, want := build(text), build(masked)
		for at := range len(raw) + 1 {
			f := set.Frames()
			out, err := f.Write(nil, raw[:at])
			if err != nil {
				t.Fatal(err)
			}
			// What Stream.Release lets go of at the border of two chunks is the first bytes of a form.
			if out, err = f.Write(out, raw[at:]); err != nil || len(out) != len(want) || differing(out, want) > 3 {
				t.Fatalf("cut at %d and %d: got %q, %v; want %q", cut, at, out, err, want)
			}
			if bytes.Contains(out, []byte(wsSecret[3:])) || f.Count() != 1 {
				t.Fatalf("cut at %d and %d: got %q, count %d", cut, at, out, f.Count())
			}
		}
		f := set.Frames()
		var out []byte
		for _, b := range raw {
			out, _ = f.Write(out, []byte{b})
		}
		if len(out) != len(want) || differing(out, want) > 3 {
			t.Fatalf("cut at %d, bytewise: got %q; want %q", cut, out, want)
		}
	}
}

func differing(a, b []byte) (n int) {
	for i := range a {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}

// TestFramesSizes has each of the three ways to write a length, and a control frame that carries the secret.
func TestFramesSizes(t *testing.T) {
	set := compile(wsSecret)
	for _, fill := range []int{0, 200, 70_000} {
		filler := strings.Repeat("x", fill)
		raw := append(frame(2, true, filler+wsSecret), frame(8, true, "\x03\xe8"+wsSecret)...)
		stars := strings.Repeat("*", len(wsSecret))
		want := append(frame(2, true, filler+stars), frame(8, true, "\x03\xe8"+stars)...)
		f := set.Frames()
		out, err := f.Write(nil, raw)
		if err != nil || !bytes.Equal(out, want) || f.Count() != 2 {
			t.Errorf("%d: got %d bytes, %v, count %d", fill, len(out), err, f.Count())
		}
	}
}

func TestFramesRefused(t *testing.T) {
	for name, raw := range map[string][]byte{
		"compressed":           {0xc1, 1, 'x'},
		"masked":               {0x81, 0x81, 0, 0, 0, 0, 'x'},
		"unknown opcode":       {0x83, 0},
		"continues nothing":    frame(0, true, "x"),
		"message in a message": append(frame(1, false, "x"), frame(1, true, "y")...),
		"long control":         frame(9, true, strings.Repeat("x", 126)),
		"control in pieces":    frame(9, false, "x"),
		"endless":              {0x82, 127, 0xff, 0, 0, 0, 0, 0, 0, 0},
		"waiting for ever":     append(frame(1, false, wsSecret[:10]), bytes.Repeat(frame(0, false, ""), 40_000)...),
	} {
		if _, err := compile(wsSecret).Frames().Write(nil, raw); !errors.Is(err, scrub.ErrFrames) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// messages joins the payloads of a server's data frames, with a blank between messages.
func messages(raw []byte) string {
	var text strings.Builder
	for len(raw) >= 2 {
		op, final, n := raw[0]&0x0f, raw[0]&0x80 != 0, uint64(raw[1]&0x7f)
		raw = raw[2:]
		switch {
		case n == 126 && len(raw) >= 2:
			n, raw = uint64(binary.BigEndian.Uint16(raw)), raw[2:]
		case n == 127 && len(raw) >= 8:
			n, raw = binary.BigEndian.Uint64(raw), raw[8:]
		case n >= 126:
			return text.String()
		}
		n = min(n, uint64(len(raw)))
		if op < 8 {
			text.Write(raw[:n])
			if final {
				text.WriteByte(' ')
			}
		}
		raw = raw[n:]
	}
	return text.String()
}

// FuzzFrames: whatever comes, no more comes out, and none of it is the secret inside of a message.
func FuzzFrames(f *testing.F) {
	f.Add(frame(1, true, "x"+wsSecret), uint64(1))
	f.Add(append(frame(1, false, wsSecret[:7]), frame(0, true, wsSecret[7:])...), uint64(2))
	set := compile(wsSecret)
	f.Fuzz(func(t *testing.T, raw []byte, seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 1))
		fr := set.Frames()
		var out []byte
		var err error
		for rest := raw; len(rest) > 0 && err == nil; {
			n := 1 + rng.IntN(len(rest))
			out, err = fr.Write(out, rest[:n])
			rest = rest[n:]
		}
		out = fr.Flush(out)
		if len(out) > len(raw) || strings.Contains(messages(out), wsSecret) {
			t.Errorf("%q comes out as %q", raw, out)
		}
	})
}
