package httpdriver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/driver"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// request makes the HTTP request of a call.
func (d *api) request(ctx context.Context, c *Call, in scope) (*http.Request, error) {
	now := d.now()
	u, err := c.path.fillPath(in, now, func(name string) bool { return d.def.Parameters[name].Kind == kindPath })
	if err != nil {
		return nil, err
	}
	u.RawQuery = encode(c.query, in, now).Encode()
	body, kind, err := c.body(in, now)
	if err != nil {
		return nil, err
	}
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, c.method, u.String(), reader)
	if err != nil {
		return nil, errors.New("the request cannot be made of what was filled in")
	}
	if d.def.Answers != "xml" {
		req.Header.Set("Accept", "application/json")
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	for _, headers := range []map[string]template{d.def.headers, c.headers} {
		for name, t := range headers {
			if text, ok := t.text(in, now, asIs); ok {
				req.Header.Set(name, text)
			}
		}
	}
	return req, nil
}

// body is what a call sends, and its media type. nil: nothing.
func (c *Call) body(in scope, now time.Time) (body []byte, kind string, err error) {
	switch {
	case c.json != nil:
		tree, _ := fill(c.json, in, now)
		if body, err = json.Marshal(tree); err != nil {
			return nil, "", errors.New("the body cannot be written as JSON")
		}
		return body, "application/json", nil
	case len(c.form) > 0:
		return []byte(encode(c.form, in, now).Encode()), "application/x-www-form-urlencoded", nil
	case len(c.parts) == 0:
		return nil, "", nil
	}
	var b bytes.Buffer
	parts := multipart.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(c.parts)) {
		if text, ok := c.parts[name].text(in, now, asIs); ok {
			if err := parts.WriteField(name, text); err != nil {
				return nil, "", err
			}
		}
	}
	err = parts.Close()
	return b.Bytes(), parts.FormDataContentType(), err
}

// encode fills in what a query or a form has. What stands alone and has no value is left out.
func encode(texts map[string]template, in scope, now time.Time) url.Values {
	values := url.Values{}
	for name, t := range texts {
		if text, ok := t.text(in, now, asIs); ok {
			values.Set(name, text)
		}
	}
	return values
}

// fill fills a tree of JSON in.
func fill(tree any, in scope, now time.Time) (any, bool) {
	switch v := tree.(type) {
	case template:
		return v.typed(in, now)
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, inner := range v {
			if value, ok := fill(inner, in, now); ok {
				out[name] = value
			}
		}
		return out, true
	case []any:
		out := make([]any, 0, len(v))
		for _, inner := range v {
			if value, ok := fill(inner, in, now); ok {
				out = append(out, value)
			}
		}
		return out, true
	}
	return tree, true
}

// patience is how long one call waits in all where the API asks it to come later.
const patience = time.Minute

// send makes a call, and makes it again where the API has not looked at it because there were too many.
func (d *api) send(ctx context.Context, c *Call, in scope, query url.Values) (answer, error) {
	var waited time.Duration
	for attempt := 0; ; attempt++ {
		a, err := d.once(ctx, c, in, query)
		if err != nil || a.status != http.StatusTooManyRequests || anyHolds(d.def.Limit, a) {
			return a, err
		}
		wait := retryAfter(a.header, attempt, d.now())
		if waited += wait; waited > patience {
			return a, fault.WithHint(fmt.Errorf("%w: it takes no more requests for now (429), and asks to wait %s",
				driver.ErrRefused, wait.Round(time.Second)), "rotate again later")
		}
		if err := d.pause(ctx, wait); err != nil {
			return a, fmt.Errorf("%w: it takes no more requests for now (429)", driver.ErrRefused)
		}
	}
}

func (d *api) once(ctx context.Context, c *Call, in scope, query url.Values) (answer, error) {
	req, err := d.request(ctx, c, in)
	if err != nil {
		return answer{}, fmt.Errorf("%w: %w", driver.ErrRefused, err)
	}
	if len(query) > 0 {
		all := req.URL.Query()
		maps.Copy(all, query)
		req.URL.RawQuery = all.Encode()
	}
	response, err := d.do(ctx, d.service, req)
	if err != nil {
		if driver.Certain(err) {
			return answer{}, err
		}
		return answer{}, fmt.Errorf("%w: %w", driver.ErrUnclear, err)
	}
	defer response.Body.Close() //nolint:errcheck // read to its end or given up
	return d.def.read(response), nil
}

// retryAfter is how long to wait after a 429: what the API asks for, or ever longer.
func retryAfter(header http.Header, attempt int, now time.Time) time.Duration {
	text := strings.TrimSpace(header.Get("Retry-After"))
	if seconds, err := strconv.Atoi(text); err == nil && seconds >= 0 {
		return max(time.Duration(min(seconds, 1<<20))*time.Second, time.Second)
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), time.Second)
	}
	return time.Second << min(attempt, 10)
}

// outcome is what an answer means.
type outcome int

const (
	done outcome = iota
	gone         // done before
)

// judge says what an answer means. known is kept out of the error.
func (d *api) judge(step string, c *Call, a answer, known ...secret.Value) (outcome, error) {
	switch {
	case anyHolds(d.def.Limit, a):
		return done, d.failed(driver.ErrLimit, a, known)
	case anyHolds(d.def.Unclear, a):
		return done, d.failed(driver.ErrUnclear, a, known)
	case anyHolds(d.def.Refused, a):
		return done, d.failed(driver.ErrRefused, a, known)
	case step == "delete" && d.isGone(c, a):
		return gone, nil
	case succeeded(c, a.status):
		if errors.Is(a.err, errLong) {
			return done, fmt.Errorf("%w: %w", driver.ErrUnclear, a.err)
		}
		return done, nil
	case a.status == http.StatusTooManyRequests:
		return done, d.failed(driver.ErrRefused, a, known)
	case a.status == http.StatusUnauthorized, a.status == http.StatusForbidden:
		return done, fault.WithHint(d.failed(driver.ErrRefused, a, known),
			"look whether the credential of the service "+d.service+" has the rights that the driver's page lists")
	case refuses(a.status):
		return done, d.failed(driver.ErrRefused, a, known)
	}
	return done, d.failed(driver.ErrUnclear, a, known)
}

func (d *api) isGone(c *Call, a answer) bool {
	if c.Gone == nil {
		return a.status == http.StatusNotFound || a.status == http.StatusGone
	}
	return anyHolds(c.Gone, a)
}

func succeeded(c *Call, status int) bool {
	if c.Status == nil {
		return status >= 200 && status < 300
	}
	return slices.Contains(c.Status, status)
}

// refuses tells whether a status says that nothing was done. Of the others nobody knows.
func refuses(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly:
		return false
	}
	return status >= 400 && status < 500
}

func (d *api) failed(kind error, a answer, known []secret.Value) error {
	text := d.def.said(a, known)
	if text == "" {
		return fmt.Errorf("%w: it answered %d", kind, a.status)
	}
	return fmt.Errorf("%w: it answered %d: %s", kind, a.status, text)
}
