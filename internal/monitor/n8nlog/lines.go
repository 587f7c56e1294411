package n8nlog

import "bytes"

// maxLine is how many bytes of a line are kept; the rest of it is passed over.
const maxLine = 64 << 10

// lines cuts what is written to it into lines. It keeps no more than maxLine of one, however long it is.
type lines struct {
	give func(line []byte, long bool) // line is valid until it returns

	held []byte // of the line that has begun
	long bool   // it has more than is held
}

// Write implements io.Writer. It never fails.
func (l *lines) Write(p []byte) (int, error) {
	n := len(p)
	for {
		part, rest, ended := bytes.Cut(p, []byte{'\n'})
		room := min(len(part), maxLine-len(l.held))
		l.held = append(l.held, part[:room]...)
		l.long = l.long || len(bytes.TrimRight(part[room:], "\r")) > 0
		if !ended {
			return n, nil
		}
		l.end()
		p = rest
	}
}

// end gives on the line that is held, as what has no end when nothing more comes.
func (l *lines) end() {
	if line := bytes.TrimRight(l.held, "\r"); len(line) > 0 {
		l.give(line, l.long)
	}
	l.held, l.long = l.held[:0], false
}
