package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// diagnose says why a line is not record seq. It runs once per verification.
func diagnose(line []byte, seq int) string {
	if reason := jsonFault(line); reason != "" {
		return reason
	}
	h, ok := parseHead(line)
	switch {
	case !ok || !framed(line):
		return "the line is not spelled as a record is written"
	case h.seq > seq:
		return fmt.Sprintf("record %d where %d was expected: records are missing", h.seq, seq)
	case h.seq < seq:
		return fmt.Sprintf("record %d where %d was expected: repeated, moved or from another log", h.seq, seq)
	case seq == 1:
		return "the MAC does not match: the record was changed, or the chain key is not this log's"
	default:
		return "the MAC does not match: this record was changed, or comes from another log"
	}
}

// jsonFault finds what makes a line no JSON object, or an ambiguous one.
func jsonFault(line []byte) string {
	var whole map[string]json.RawMessage
	if err := json.Unmarshal(line, &whole); err != nil {
		return "not a JSON object: " + err.Error()
	}
	var names []string
	dec := json.NewDecoder(bytes.NewReader(line))
	_, err := dec.Token() // the opening brace
	for err == nil && dec.More() {
		name, _ := dec.Token()
		if text, ok := name.(string); ok && slices.Contains(names, text) {
			return fmt.Sprintf("the key %q stands twice", text)
		} else if ok {
			names = append(names, text)
		}
		var value json.RawMessage
		err = dec.Decode(&value)
	}
	return ""
}
