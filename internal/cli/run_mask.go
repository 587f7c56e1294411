package cli

import (
	"bytes"
	"io"

	"sallyport/internal/boundary/scrub"
	"sallyport/internal/secret"
)

// maskedLine is how long a line of a value has to be to be masked by itself too, in bytes: logs break values up.
const maskedLine = 16

// masker is a writer through which no held value passes, in whatever form scrub knows.
type masker struct {
	to     io.Writer
	stream *scrub.Stream
	out    []byte
}

// masks are the texts to look for.
func (e *env) masks(held []secret.Value) *scrub.Set {
	var texts [][]byte
	short := 0
	for _, value := range held {
		text := bytes.TrimSpace(value.Reveal())
		if len(text) > 0 && len(text) < scrub.MinLength {
			short++
			continue
		}
		texts = append(texts, text)
		for line := range bytes.Lines(text) {
			if line = bytes.TrimSpace(line); len(line) >= maskedLine && len(line) < len(text) {
				texts = append(texts, line)
			}
		}
	}
	if short > 0 {
		e.note("warning: %d values have fewer than %d characters and are not masked: they would be found everywhere",
			short, scrub.MinLength)
	}
	return scrub.Compile(texts...)
}

// Write passes on what cannot be the beginning of a value.
func (m *masker) Write(p []byte) (int, error) {
	m.out = m.stream.Write(m.out[:0], p)
	if _, err := m.to.Write(m.out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close passes on what was held back.
func (m *masker) Close() error {
	_, err := m.to.Write(m.stream.Flush(nil))
	return err
}
