package derive

import (
	"encoding/json"
	"fmt"
	"time"

	"sallyport/internal/jsonpointer"
)

// pointer is a JSON pointer into a response; nil is none.
type pointer jsonpointer.Pointer

func parsePointer(text string) (pointer, error) {
	p, err := jsonpointer.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("the pointer %q %w", text, err)
	}
	return pointer(p), nil
}

// in follows the pointer into a document; nil if it leads nowhere.
func (p pointer) in(doc json.RawMessage) json.RawMessage {
	for _, part := range p {
		var list []json.RawMessage
		if members, err := jsonObjectOf(doc); err == nil {
			doc = members[part]
			continue
		}
		i, ok := jsonpointer.Index(part)
		if !ok || len(doc) == 0 || json.Unmarshal(doc, &list) != nil || i >= len(list) {
			return nil
		}
		doc = list[i]
	}
	return doc
}

// millis is where a number of seconds since 1970 would be the year 5138: numbers above are taken for milliseconds.
const millis = 1e11

// expiresAt reads when a token ends: RFC 3339, or a number (or its text) of seconds or milliseconds since 1970, by the
// provider's clock. What cannot be read, or has passed already, is the fallback's matter.
func (a *answer) expiresAt(raw json.RawMessage, fallback time.Duration) time.Time {
	var left time.Duration
	if at, ok := instant(raw); ok {
		left = at.Sub(a.started.Add(a.skew))
	}
	return a.started.Add(lifetime(left.Seconds(), fallback))
}

func instant(raw json.RawMessage) (time.Time, bool) {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		for _, layout := range []string{
			time.RFC3339, "2006-01-02T15:04:05", time.DateTime,
			"2006-01-02T15:04:05-0700", time.RFC1123,
		} {
			if at, err := time.Parse(layout, text); err == nil {
				return at, true
			}
		}
	}
	n := seconds(raw)
	if n >= millis {
		n /= 1000
	}
	if n <= 0 || n >= millis {
		return time.Time{}, false
	}
	return time.Unix(int64(n), 0), true
}
