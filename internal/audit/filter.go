package audit

import (
	"bytes"
	"encoding/json"
	"time"
	"unicode/utf8"
)

// Filter chooses records. The zero Filter takes every one.
type Filter struct {
	Service  string
	Token    string // a token's name or id
	Workflow string
	Since    time.Time // taken: this moment and later
	Refused  bool      // requests that got no credential, alone
	Quiet    bool      // leaves out what the log says of itself: opened, closed, checkpoint
}

// housekeeping are the kinds of record that a log in good order has for its own sake. KindRecovered is none: it tells
// of a loss.
var housekeeping = [][]byte{[]byte(KindOpened), []byte(KindClosed), []byte(KindCheckpoint), []byte(KindContinued)}

// Match tells whether a line is chosen. One that cannot be read is: it is what someone who looks has to see.
func (f *Filter) Match(line []byte) bool {
	h, ok := parseHead(line)
	if !ok {
		return true
	}
	if !f.Since.IsZero() {
		// Times have a fixed width and are in UTC: they sort as text.
		if since := appendTime(nil, f.Since); len(h.time) == len(since) && bytes.Compare(h.time, since) < 0 {
			return false
		}
	}
	if f.Refused && string(h.kind) != string(KindRefused) {
		return false
	}
	if f.Quiet {
		for _, kind := range housekeeping {
			if bytes.Equal(h.kind, kind) {
				return false
			}
		}
	}
	if f.Service == "" && f.Token == "" && f.Workflow == "" {
		return true
	}
	rec, err := Parse(line)
	if err != nil {
		return true
	}
	ev := &rec.Event
	return f.names(ev.Service, f.Service) && f.names(ev.Workflow, f.Workflow) &&
		(f.names(ev.Label, f.Token) || ev.Token == f.Token)
}

func (*Filter) names(got, want string) bool {
	return want == "" || got == want || got == recorded(want)
}

// recorded is how a name from outside stands in a record, where that is not as it is: long ones are cut, and bytes that
// are no UTF-8 replaced.
func recorded(name string) string {
	if len(name) <= maxText && utf8.ValidString(name) {
		return name
	}
	var text string
	_ = json.Unmarshal(append(appendClipped([]byte{'"'}, name, maxText), '"'), &text) // it is one, by construction
	return text
}
