package wire_test

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/bench/wire"
)

func TestReadHeadAndSkipBody(t *testing.T) {
	for name, c := range map[string]struct {
		message  string
		want     wire.Head
		wantBody int64
	}{
		"a length": {
			"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
			wire.Head{First: "HTTP/1.1 200 OK", ContentLength: 5},
			5,
		},
		"chunks": {
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n",
			wire.Head{First: "HTTP/1.1 200 OK", ContentLength: -1, Chunked: true},
			15,
		},
		"no body": {
			"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
			wire.Head{First: "GET / HTTP/1.1", ContentLength: -1, Close: true},
			0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := bufio.NewReader(strings.NewReader(c.message + "NEXT"))
			head, err := wire.ReadHead(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, head); diff != "" {
				t.Error(diff)
			}
			n, err := wire.SkipBody(r, head)
			if err != nil || n != c.wantBody {
				t.Errorf("body of %d bytes, error %v; want %d", n, err, c.wantBody)
			}
			if rest, _ := io.ReadAll(r); string(rest) != "NEXT" {
				t.Errorf("the next message begins with %q", rest)
			}
		})
	}
}

func TestReadHeadRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		message string
		wantEOF bool
	}{
		"nothing":        {"", true},
		"half a head":    {"GET / HTTP/1.1\r\nHost: a", false},
		"no such length": {"GET / HTTP/1.1\r\nContent-Length: many\r\n\r\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := wire.ReadHead(bufio.NewReader(strings.NewReader(c.message)), nil)
			if err == nil || (err == io.EOF) != c.wantEOF { //nolint:errorlint // io.EOF alone is what is promised
				t.Errorf("got error %v, want io.EOF alone: %t", err, c.wantEOF)
			}
		})
	}
}

func TestSkipBodyTellsAShortBody(t *testing.T) {
	for name, c := range map[string]wire.Head{
		"hello":          {ContentLength: 6},
		"6\r\nhello":     {ContentLength: -1, Chunked: true},
		"5\r\nhello\r\n": {ContentLength: -1, Chunked: true},
	} {
		if _, err := wire.SkipBody(bufio.NewReader(strings.NewReader(name)), c); !errors.Is(err, io.EOF) {
			t.Errorf("%q: got error %v, want one that is io.EOF", name, err)
		}
	}
}
