package httpdriver_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sallyport/internal/driver"
	httpdriver "sallyport/internal/driver/http"
)

// scripted is a driver whose API answers as script says, with the pauses that the driver made.
func scripted(t *testing.T, name string, script func(n int, req *http.Request) *httptest.ResponseRecorder) (
	d driver.Driver, pauses *[]time.Duration,
) {
	t.Helper()
	n := 0
	s := example(t, name)
	d, err := s.Open(t.Context(), driver.Host{
		Do: func(_ context.Context, _ string, req *http.Request) (*http.Response, error) {
			n++
			return script(n, req).Result(), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	pauses = new([]time.Duration)
	httpdriver.Hasten(d, func(_ context.Context, wait time.Duration) error {
		*pauses = append(*pauses, wait)
		return nil
	})
	return d, pauses
}

func recorded(status int, body string) *httptest.ResponseRecorder { return respond(status, body)(nil) }

// TestWaits: a 429 is waited for as long as the API asks, and for a minute in all.
func TestWaits(t *testing.T) {
	for after, want := range map[string]string{
		"2":     "[2s]",
		"":      "[1s]",
		"soon":  "[1s]",
		"0":     "[1s]",
		"61":    "[]",
		"86400": "[]",
	} {
		d, pauses := scripted(t, "sendgrid", func(n int, _ *http.Request) *httptest.ResponseRecorder {
			if n > 1 {
				return recorded(200, `{"result": []}`)
			}
			rec := httptest.NewRecorder()
			rec.Header().Set("Retry-After", after)
			rec.WriteHeader(http.StatusTooManyRequests)
			return rec
		})
		_, err := d.Keys(t.Context(), driver.Job{})
		if fmt.Sprint(*pauses) != want || (err == nil) == (want == "[]") {
			t.Errorf("Retry-After %q: waited %v, want %s (%v)", after, *pauses, want, err)
		}
		if err != nil && !errors.Is(err, driver.ErrRefused) {
			t.Errorf("Retry-After %q: %v", after, err)
		}
	}
	d, pauses := scripted(t, "sendgrid", func(int, *http.Request) *httptest.ResponseRecorder {
		return recorded(http.StatusTooManyRequests, "")
	})
	if _, err := d.Keys(t.Context(), driver.Job{}); !errors.Is(err, driver.ErrRefused) ||
		fmt.Sprint(*pauses) != "[1s 2s 4s 8s 16s]" {
		t.Errorf("an API that is always busy: waited %v (%v)", *pauses, err)
	}
}

// TestPages: lists have bounds, and a next page is never elsewhere.
func TestPages(t *testing.T) {
	page := func(next string) *httptest.ResponseRecorder {
		return recorded(200, `{"keys": [{"sid": "k"}], "next_page_uri": "`+next+`"}`)
	}
	for name, c := range map[string]struct {
		next func(n int) string
		want string
	}{
		"back to the first page": {func(n int) string { return fmt.Sprintf("/x?Page=%d", n%2) }, "was there before"},
		"without end":            {func(n int) string { return fmt.Sprintf("/x?Page=%d", n) }, "more than 200 pages"},
		"no URL":                 {func(int) string { return "%zz" }, "next page is none"},
	} {
		d, _ := scripted(t, "twilio", func(n int, _ *http.Request) *httptest.ResponseRecorder {
			return page(c.next(n))
		})
		if _, err := d.Keys(t.Context(), driver.Job{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	var asked []string
	d, _ := scripted(t, "twilio", func(n int, req *http.Request) *httptest.ResponseRecorder {
		asked = append(asked, req.URL.Host+req.URL.Path+" "+req.URL.Query().Get("Page"))
		if n > 1 {
			return recorded(200, `{"keys": []}`)
		}
		return page("https://evil.example/elsewhere?Page=1")
	})
	keys, err := d.Keys(t.Context(), driver.Job{})
	const path = "/2010-04-01/Accounts/ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/Keys.json "
	if err != nil || len(keys) != 1 || fmt.Sprint(asked) != fmt.Sprint([]string{path, path + "1"}) {
		t.Errorf("a next page elsewhere: %v, asked %v (%v)", keys, asked, err)
	}
	d, _ = scripted(t, "twilio", func(int, *http.Request) *httptest.ResponseRecorder {
		return recorded(200, `{"keys": [`+strings.Repeat(" ", 5<<20)+`]}`)
	})
	if _, err := d.Keys(t.Context(), driver.Job{}); err == nil || !strings.Contains(err.Error(), "4 MiB") {
		t.Errorf("an answer without end: %v", err)
	}
}
