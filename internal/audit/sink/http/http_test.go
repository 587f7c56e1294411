package http_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"sallyport/internal/audit/sink"
	httpsink "sallyport/internal/audit/sink/http"
	"sallyport/internal/audit/sink/sinktest"
	"sallyport/internal/guard"
	"sallyport/internal/secret"
)

const token = "canary-token-6f1d"

func TestKind(t *testing.T) { sinktest.Kind(t, httpsink.Kind()) }

// host gives the token.
func host() sink.Host {
	read := func(context.Context, secret.Ref) (secret.Value, error) {
		return secret.NewValue([]byte(token + "\n")), nil
	}
	return sink.Host{Hostname: "node1", Version: "1.2.3", Secret: read}
}

// world is a sink of this form and a receiver that reads it strictly.
func world(form string, settings httpsink.Settings, read func(*http.Request, []byte) ([]sinktest.Taken, error),
) func(*testing.T) *sinktest.World {
	return func(t *testing.T) *sinktest.World {
		server := &sinktest.HTTP{
			Read: read,
			Done: func(w http.ResponseWriter) { _, _ = io.WriteString(w, `{"text":"Success","code":0}`) },
			Failed: func(w http.ResponseWriter) {
				_, _ = io.WriteString(w, `{"text":"Server is busy","code":9}`)
			},
		}
		base, ca := server.Serve(t)
		w := &sinktest.World{
			Receiver: server.Receiver, Stop: server.Stop, Start: server.Start, Secret: token,
			Open: func(t *testing.T) sink.Sink {
				s := settings
				to, err := url.Parse(base + "/services/collector/event")
				if err != nil {
					t.Fatal(err)
				}
				s.URL, s.Form, s.CAFile, s.Header, s.SourceType = to, form, ca, "Authorization", "sallyport:audit"
				s.Token = secret.Ref{Store: "builtin", Path: "token"}
				opened, err := s.Open(t.Context(), host())
				if err != nil {
					t.Fatal(err)
				}
				return opened
			},
		}
		if form != "splunk" {
			w.Without = []sinktest.Mode{sinktest.Lie} // the status is all that such a receiver says
		}
		return w
	}
}

func TestSplunk(t *testing.T) {
	sinktest.Run(t, world("splunk", httpsink.Settings{Index: "main"}, readSplunk))
}

func TestNDJSON(t *testing.T) { sinktest.Run(t, world("ndjson", httpsink.Settings{}, readNDJSON)) }

func TestJSON(t *testing.T) { sinktest.Run(t, world("json", httpsink.Settings{Gzip: true}, readJSON)) }

// readSplunk reads as the HTTP Event Collector does: JSON objects one after another, each with an event.
func readSplunk(r *http.Request, body []byte) (taken []sinktest.Taken, err error) {
	if got := r.Header.Get("Authorization"); got != "Splunk "+token || r.URL.Path != "/services/collector/event" {
		return nil, fmt.Errorf("authorization %q, path %s", got, r.URL.Path)
	}
	in := json.NewDecoder(bytes.NewReader(body))
	in.DisallowUnknownFields()
	for {
		var e struct {
			Time                            float64
			Host, Source, SourceType, Index string
			Event                           json.RawMessage
			Fields                          struct {
				Seq int
				Log string
			}
		}
		if err := in.Decode(&e); errors.Is(err, io.EOF) {
			return taken, nil
		} else if err != nil {
			return nil, err
		}
		if e.Time < 1e9 || e.Host != "node1" || e.Index != "main" || e.SourceType != "sallyport:audit" ||
			e.Fields.Log == "" || len(e.Event) == 0 {
			return nil, fmt.Errorf("an event is %+v", e)
		}
		taken = append(taken, sinktest.Taken{Seq: e.Fields.Seq, Text: string(e.Event)})
	}
}

func readNDJSON(r *http.Request, body []byte) (taken []sinktest.Taken, err error) {
	if got := r.Header.Get("Authorization"); got != "Bearer "+token ||
		r.Header.Get("Content-Type") != "application/x-ndjson" || !bytes.HasSuffix(body, []byte("\n")) {
		return nil, fmt.Errorf("authorization %q, type %q", got, r.Header.Get("Content-Type"))
	}
	for line := range strings.Lines(string(body)) {
		line = strings.TrimSuffix(line, "\n")
		one := sinktest.Taken{Text: line}
		if !json.Valid([]byte(line)) {
			return nil, fmt.Errorf("no JSON: %q", line)
		}
		taken = append(taken, numbered(one, len(taken)))
	}
	return taken, nil
}

func readJSON(r *http.Request, body []byte) (taken []sinktest.Taken, err error) {
	if r.Header.Get("Content-Encoding") != "gzip" || r.Header.Get("Content-Type") != "application/json" {
		return nil, fmt.Errorf("coding %q", r.Header.Get("Content-Encoding"))
	}
	packed, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	var list []json.RawMessage
	if err := json.NewDecoder(packed).Decode(&list); err != nil {
		return nil, err
	}
	for _, one := range list {
		taken = append(taken, numbered(sinktest.Taken{Text: string(one)}, len(taken)))
	}
	return taken, nil
}

// numbered reads the number of a record, or takes its place where the text has none.
func numbered(one sinktest.Taken, i int) sinktest.Taken {
	var rec struct{ Seq int }
	if err := json.Unmarshal([]byte(one.Text), &rec); err == nil && rec.Seq > 0 {
		one.Seq = rec.Seq
	} else {
		one.Seq = i + 1
	}
	return one
}

// TestEchoes: what receivers send back, such as the token in a response that is no HTTP, stands in no error.
func TestEchoes(t *testing.T) {
	for name, answer := range map[string]string{
		"no HTTP":                "Splunk hec-token\r\n\r\n",
		"a line that is none":    "HTTP/1.1 200 OK\r\nSplunk hec-token\r\n\r\n",
		"a status that is none":  "HTTP/1.1 hec-token OK\r\n\r\n",
		"a version that is none": "HTTP/hec-token 200 OK\r\n\r\n",
		"a length that is none":  "HTTP/1.1 200 OK\r\nContent-Length: hec-token\r\n\r\n",
		"an unknown coding":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: hec-token\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			var serving guard.Group
			defer serving.Wait()
			serving.Go("serving", func() {
				c, err := l.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				if req, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					_, _ = io.Copy(io.Discard, req.Body)
				}
				_, _ = io.WriteString(c, answer)
			})
			s := &httpsink.Settings{
				URL: &url.URL{Scheme: "http", Host: l.Addr().String(), Path: "/"}, Form: "splunk",
				Header: "Authorization",
			}
			opened, err := s.Open(t.Context(), host())
			if err != nil {
				t.Fatal(err)
			}
			defer opened.Close()
			err = opened.Ship(t.Context(), []sink.Item{{Seq: 1, Text: []byte(`{}`)}})
			if err == nil || strings.Contains(err.Error(), "hec-token") || !strings.Contains(err.Error(), "no HTTP") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestAnswers: what each answer comes to, and what the operator is told to do.
func TestAnswers(t *testing.T) {
	for name, tt := range map[string]struct {
		form   string
		status int
		header string
		body   string
		want   string // part of the error; "": none
	}{
		"success":                 {"splunk", 200, "", `{"text":"Success","code":0}`, ""},
		"success of another":      {"splunk", 200, "", `<html>welcome</html>`, "none of its HTTP Event Collector"},
		"success without a body":  {"splunk", 200, "", ``, "none of its HTTP Event Collector"},
		"a code that is no code":  {"splunk", 200, "", `{"code":"0"}`, "none of its HTTP Event Collector"},
		"health check":            {"splunk", 200, "", `{"text":"HEC is healthy","code":17}`, "code 17"},
		"busy":                    {"splunk", 503, "", `{"text":"Server is busy","code":9}`, "answered 503, code 9"},
		"invalid token":           {"splunk", 403, "", `{"text":"Invalid token","code":4}`, "answered 403, code 4"},
		"0 with an error":         {"splunk", 500, "", `{"text":"Success","code":0}`, "answered 500"},
		"a status alone":          {"ndjson", 204, "", "", ""},
		"a redirect is no answer": {"ndjson", 302, "", "", "answered 302"},
		"what it says is ignored": {"ndjson", 200, "", `{"code":9}`, ""},
		"unauthorised":            {"ndjson", 401, "", "secret text of another", "answered 401"},
	} {
		t.Run(name, func(t *testing.T) {
			server := &sinktest.HTTP{Read: func(*http.Request, []byte) ([]sinktest.Taken, error) { return nil, nil }}
			server.Done = func(rw http.ResponseWriter) {
				rw.Header().Set("Location", "https://elsewhere.example/")
				rw.WriteHeader(tt.status)
				_, _ = io.WriteString(rw, tt.body)
			}
			base, ca := server.Serve(t)
			to, err := url.Parse(base)
			if err != nil {
				t.Fatal(err)
			}
			s := &httpsink.Settings{URL: to, Form: tt.form, CAFile: ca, Header: "X-Api-Key"}
			opened, err := s.Open(t.Context(), host())
			if err != nil {
				t.Fatal(err)
			}
			defer opened.Close()
			err = opened.Ship(t.Context(), []sink.Item{{Seq: 1, Text: []byte(`{}`)}})
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("got %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %q in it", err, tt.want)
			case err != nil && strings.Contains(err.Error(), "of another"):
				t.Errorf("it quotes what the receiver said: %v", err)
			}
		})
	}
}
