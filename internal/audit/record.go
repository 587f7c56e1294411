package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Record is a line of the log, read back.
type Record struct {
	Seq   int
	Event Event

	Log         string // id of the log: opened records only
	Checkpoints int    // how many checkpoints the log had before this record; -1 where the record doesn't say

	Offset  int64  // continued: how many bytes of the log lie in the files before this one
	After   string // continued: the MAC of the record before; removed: of the last one that is removed
	File    string // continued: the name of the file before
	Removed Range  // removed: all that is gone then, from the log's first record on
}

// wire is a line as JSON has it.
type wire struct {
	Seq         int       `json:"seq"`
	Time        time.Time `json:"time"`
	Kind        Kind      `json:"event"`
	ID          string    `json:"id"`
	Trace       string    `json:"trace"`
	Token       string    `json:"token"`
	Label       string    `json:"label"`
	Generation  int       `json:"generation"`
	Source      string    `json:"source"`
	Workflow    string    `json:"workflow"`
	Execution   string    `json:"execution"`
	Node        string    `json:"node"`
	Actor       string    `json:"actor"`
	Action      string    `json:"action"`
	Subject     string    `json:"subject"`
	Service     string    `json:"service"`
	Method      string    `json:"method"`
	Host        string    `json:"host"`
	Path        string    `json:"path"`
	Rule        string    `json:"rule"`
	Secrets     []string  `json:"secrets"`
	Status      int       `json:"status"`
	Code        string    `json:"code"`
	Blame       string    `json:"blame"`
	Detail      string    `json:"detail"`
	BytesIn     int64     `json:"bytes_in"`
	BytesOut    int64     `json:"bytes_out"`
	GateUS      int64     `json:"gate_us"`
	UpstreamUS  int64     `json:"upstream_us"`
	Scrubbed    int       `json:"scrubbed"`
	Suppressed  int       `json:"suppressed"`
	Log         string    `json:"log"`
	Checkpoints *int      `json:"checkpoints"`
	Offset      int64     `json:"offset"`
	After       string    `json:"after"`
	File        string    `json:"file"`
	Removed     int       `json:"removed"`
	MAC         string    `json:"mac"`
}

// Parse reads one line of a log, with or without its newline. It does not check the MAC.
func Parse(line []byte) (Record, error) {
	var w wire
	if err := json.Unmarshal(line, &w); err != nil {
		return Record{}, fmt.Errorf("parsing audit record: %w", err)
	}
	rec := Record{Seq: w.Seq, Log: w.Log, Checkpoints: -1, Event: Event{
		Time: w.Time, Kind: w.Kind, ID: w.ID, Trace: w.Trace,
		Token: w.Token, Label: w.Label, Generation: w.Generation, Source: w.Source,
		Workflow: w.Workflow, Execution: w.Execution, Node: w.Node,
		Actor: w.Actor, Action: w.Action, Subject: w.Subject,
		Service: w.Service, Method: w.Method, Host: w.Host, Path: w.Path, Rule: w.Rule, Secrets: w.Secrets,
		Status: w.Status, Code: w.Code, Blame: w.Blame, Detail: w.Detail,
		BytesIn: w.BytesIn, BytesOut: w.BytesOut,
		Gate: time.Duration(w.GateUS) * time.Microsecond, Upstream: time.Duration(w.UpstreamUS) * time.Microsecond,
		Scrubbed: w.Scrubbed, Suppressed: w.Suppressed,
	}}
	rec.Offset, rec.After, rec.File = w.Offset, w.After, w.File
	if w.Removed > 0 {
		rec.Removed = Range{From: 1, To: w.Removed}
	}
	if w.Checkpoints != nil {
		rec.Checkpoints = *w.Checkpoints
	}
	return rec, nil
}

// errTorn and errLong are what lines finds wrong with a line as such.
var (
	errTorn = errors.New("the last line has no end")
	errLong = errors.New("the line is longer than any record")
)

// framing is the reason to report if err is about the line and not about the reader.
func framing(err error) string {
	if errors.Is(err, errTorn) || errors.Is(err, errLong) {
		return err.Error()
	}
	return ""
}

// lines reads a file line by line in constant memory.
type lines struct {
	r      *bufio.Reader
	offset int64 // of the next line
}

func newLines(r io.Reader) *lines {
	return &lines{r: bufio.NewReaderSize(r, maxLine+1)}
}

// next returns a line with its newline, valid until the following call. It returns io.EOF
// at the end of a file whose last line is whole, else errTorn with what is there.
func (l *lines) next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	l.offset += int64(len(line))
	switch {
	case err == nil && len(line) > maxLine, errors.Is(err, bufio.ErrBufferFull):
		return line, errLong
	case errors.Is(err, io.EOF) && len(line) > 0:
		return line, errTorn
	}
	return line, err
}

// head is what verification reads of every record. The writer always begins a line in the
// same way, so this is a comparison of bytes and not a parser.
type head struct {
	seq  int
	time []byte
	kind []byte
}

func parseHead(line []byte) (head, bool) {
	var h head
	rest, ok := bytes.CutPrefix(line, []byte(`{"seq":`))
	if !ok {
		return h, false
	}
	digits := 0
	for digits < len(rest) && digits < 18 && rest[digits] >= '0' && rest[digits] <= '9' {
		h.seq = h.seq*10 + int(rest[digits]-'0')
		digits++
	}
	rest, ok = bytes.CutPrefix(rest[digits:], []byte(`,"time":"`))
	if !ok || digits == 0 {
		return h, false
	}
	if h.time, rest, ok = bytes.Cut(rest, []byte(`","event":"`)); !ok {
		return h, false
	}
	h.kind, _, ok = bytes.Cut(rest, []byte(`"`))
	return h, ok
}

// framed tells whether a line, newline included, ends as every record ends.
func framed(line []byte) bool {
	at := len(line) - trailer
	return at > 0 && bytes.HasPrefix(line[at:], []byte(macKey)) && bytes.HasSuffix(line, []byte(lineEnd))
}
