package httpdriver_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"sallyport/internal/driver"
	"sallyport/internal/driver/drivertest"
	httpdriver "sallyport/internal/driver/http"
	"sallyport/internal/jsonpointer"
	"sallyport/internal/secret"
)

// vendor is a provider and the stand-in of its API.
type vendor struct {
	parameters map[string]string // beside those of the page's example
	limit      int               // how many keys the stand-in allows; 0 is any number
	api        func(a *account) http.Handler
	// inner is the vendor's own value in what the store has, where that is more than it. nil: it is the same.
	inner func(value []byte) string
	first string // the value that the store has at first, where inner is set; it has the vendor's own in {value}
	id    func(n int) string
	value func(n int) string // random where nil
	wire  func(value string) string
}

// account is what the vendor keeps.
type account struct {
	mu      sync.Mutex
	v       *vendor
	keys    []*stored
	made    int
	values  []string
	secret  string // the one value, where there are no keys
	refuses string // what was wrong with a request
}

type stored struct {
	id, value, label string
	created          time.Time
	off              bool
}

var errFull = errors.New("no more keys")

func (a *account) add(label string) (*stored, error) {
	if a.v.limit > 0 && len(a.keys) >= a.v.limit {
		return nil, errFull
	}
	a.made++
	k := &stored{
		id:    fmt.Sprintf("key-%d-%s", a.made, strings.ToLower(rand.Text())[:8]),
		value: "value-" + rand.Text() + rand.Text(),
		label: label, created: time.Date(2026, 3, 1, 12, 0, a.made, 0, time.UTC),
	}
	if a.v.id != nil {
		k.id = a.v.id(a.made)
	}
	if a.v.value != nil {
		k.value = a.v.value(a.made)
	}
	a.keys = append(a.keys, k)
	a.values = append(a.values, k.value)
	return k, nil
}

func (a *account) find(id string) *stored {
	i := slices.IndexFunc(a.keys, func(k *stored) bool { return k.id == id })
	if i < 0 {
		return nil
	}
	return a.keys[i]
}

// remove tells whether there was such a key.
func (a *account) remove(id string) bool {
	before := len(a.keys)
	a.keys = slices.DeleteFunc(a.keys, func(k *stored) bool { return k.id == id })
	return len(a.keys) < before
}

func (a *account) accepts(value secret.Value) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	text := string(value.Reveal())
	if a.v.inner != nil {
		text = a.v.inner(value.Reveal())
	}
	return text != "" && (text == a.secret ||
		slices.ContainsFunc(a.keys, func(k *stored) bool { return k.value == text && !k.off }))
}

// world is a vendor's stand-in with one key, behind a gate that lets things go wrong.
type world struct {
	t             *testing.T
	name          string
	a             *account
	api           http.Handler
	before, after func() error
	settings      *httpdriver.Settings
	fault         func(next func() *httptest.ResponseRecorder) *httptest.ResponseRecorder
}

func newWorld(t *testing.T, name string) *drivertest.World {
	t.Helper()
	v := vendors()[name]
	w := &world{t: t, name: name, a: &account{v: &v}}
	w.api = v.api(w.a)
	out := &drivertest.World{Open: w.open, Accepts: w.a.accepts, Values: w.values, Hook: w.hook, Faults: w.faults()}
	current := "first-value-of-" + rand.Text()
	if v.limit == 1 {
		w.a.secret, w.a.values = current, []string{current}
		out.Current = secret.NewValue([]byte(current))
		return out
	}
	k, err := w.a.add("made by hand")
	if err != nil {
		t.Fatal(err)
	}
	current = k.value
	if v.first != "" {
		current = strings.NewReplacer("{value}", k.value, "{id}", k.id).Replace(v.first)
	}
	out.Current, out.OldKey, out.Keys = secret.NewValue([]byte(current)), k.id, w.keys
	if v.limit > 0 {
		out.Fill = w.fill
	}
	return out
}

var pageOfKind = httpdriver.Kind().Page

// example are the settings that the page of the driver shows for a provider.
func example(t testing.TB, name string) *httpdriver.Settings {
	t.Helper()
	_, section, _ := strings.Cut(pageOfKind, "\n## "+name+"\n")
	_, block, _ := strings.Cut(section, "```yaml\n")
	block, _, _ = strings.Cut(block, "```")
	var shown struct {
		Services map[string]any
		Driver   struct {
			Kind, Provider, Service string
			Parameters              map[string]string
		}
	}
	if err := yaml.UnmarshalWithOptions([]byte(block), &shown, yaml.Strict()); err != nil {
		t.Fatalf("the example of %s: %v", name, err)
	}
	d := shown.Driver
	if shown.Services[d.Service] == nil || d.Kind != "http" || d.Provider != name {
		t.Fatalf("the example of %s is about another service, kind or provider", name)
	}
	all := maps.Clone(vendors()[name].parameters)
	if all == nil {
		all = make(map[string]string)
	}
	maps.Copy(all, d.Parameters)
	return &httpdriver.Settings{Provider: name, Service: d.Service, Parameters: all}
}

func (w *world) open(t *testing.T) driver.Driver {
	t.Helper()
	if w.settings == nil {
		w.settings = example(t, w.name)
	}
	s := w.settings
	d, err := s.Open(t.Context(), driver.Host{Do: w.do})
	if err != nil {
		t.Fatal(err)
	}
	httpdriver.Hasten(d, func(ctx context.Context, _ time.Duration) error { return ctx.Err() })
	return d
}

func (w *world) keys() (list []driver.Key) {
	w.a.mu.Lock()
	defer w.a.mu.Unlock()
	for _, k := range w.a.keys {
		list = append(list, driver.Key{ID: k.id, Label: k.label})
	}
	return list
}

func (w *world) values() []string {
	w.a.mu.Lock()
	defer w.a.mu.Unlock()
	return slices.Clone(w.a.values)
}

func (w *world) fill() {
	w.a.mu.Lock()
	defer w.a.mu.Unlock()
	for {
		if _, err := w.a.add("another"); err != nil {
			return
		}
	}
}

func (w *world) hook(before, after func() error) { w.before, w.after = before, after }

// do is the gate: it takes a request for the service, and gives the vendor's answer.
func (w *world) do(ctx context.Context, service string, req *http.Request) (*http.Response, error) {
	for name := range req.Header {
		if !slices.Contains([]string{"Accept", "Content-Type", "On-Behalf-Of", "X-Pinecone-Api-Version"}, name) {
			w.t.Errorf("the driver sets the header %s", name)
		}
	}
	if service != w.name+"-admin" || req.URL.Host != "" || ctx.Err() != nil {
		w.t.Errorf("the driver calls %q at %q (%v)", service, req.URL.Host, ctx.Err())
	}
	if w.before != nil {
		if err := w.before(); err != nil {
			return nil, err
		}
	}
	next := func() *httptest.ResponseRecorder { return w.serve(req) }
	fault := w.fault
	w.fault = nil
	if fault == nil {
		fault = func(next func() *httptest.ResponseRecorder) *httptest.ResponseRecorder { return next() }
	}
	answer := fault(next)
	if w.after != nil {
		if err := w.after(); err != nil {
			return nil, err
		}
	}
	return answer.Result(), nil
}

func (w *world) serve(req *http.Request) *httptest.ResponseRecorder {
	var body io.Reader = http.NoBody
	if req.Body != nil {
		body = req.Body
	}
	served := httptest.NewRequestWithContext(req.Context(), req.Method, req.URL.RequestURI(), body)
	served.Header = req.Header.Clone()
	rec := httptest.NewRecorder()
	w.a.mu.Lock()
	defer w.a.mu.Unlock()
	w.api.ServeHTTP(rec, served)
	if rec.Code == http.StatusNotFound && strings.Contains(rec.Body.String(), "404 page not found") ||
		rec.Code == http.StatusMethodNotAllowed {
		w.t.Errorf("%s %s is no call of this API", req.Method, req.URL)
	}
	if w.a.refuses != "" {
		w.t.Errorf("%s %s: %s", req.Method, req.URL, w.a.refuses)
		w.a.refuses = ""
	}
	return rec
}

type mishap = func(next func() *httptest.ResponseRecorder) *httptest.ResponseRecorder

// faults are what may go wrong between the gate and the vendor, and how a vendor lies.
func (w *world) faults() map[string]func() {
	of := map[string]mishap{
		"500 before":               respond(500, `{"message": "internal error"}`),
		"500 after":                instead(w, 500),
		"502 of a proxy after":     instead(w, 502),
		"408 after":                instead(w, 408),
		"redirected after":         instead(w, 302),
		"429 with Retry-After":     busy("2"),
		"429 with a date":          busy(time.Now().Add(3 * time.Second).UTC().Format(http.TimeFormat)),
		"429 without Retry-After":  busy(""),
		"429 until tomorrow":       busy("86400"),
		"400":                      respond(400, `{"message": "no"}`),
		"401":                      respond(401, `{"error": {"message": "bad credential"}}`),
		"lies: error with success": w.lie(func(string) string { return `{"error": {"message": "it failed"}}` }),
		"lies: nothing at all":     w.lie(func(string) string { return "" }),
		"lies: no JSON":            w.lie(func(text string) string { return "<html>" + text }),
		"lies: cut off":            w.lie(func(text string) string { return text[:len(text)/2] }),
		"lies: without end":        w.lie(func(text string) string { return text + strings.Repeat(" ", 5<<20) }),
		"lies: no id":              w.lieOfKey(func(k *stored) (string, string) { return k.id, "" }),
		"lies: empty value": w.lieOfKey(func(k *stored) (string, string) {
			if w.a.v.wire != nil {
				return w.a.v.wire(k.value), ""
			}
			return k.value, ""
		}),
		"lies: another label": w.lieOfKey(func(k *stored) (string, string) { return k.label, "sallyport-other-run" }),
		"lies: twice in a list": w.lie(func(text string) string {
			return twiceInList(w.name, text)
		}),
	}
	out := make(map[string]func())
	for name, f := range of {
		out[name] = func() { w.fault = f }
	}
	return out
}

func respond(status int, body string) mishap {
	return func(func() *httptest.ResponseRecorder) *httptest.ResponseRecorder {
		rec := httptest.NewRecorder()
		rec.WriteHeader(status)
		_, _ = rec.WriteString(body)
		return rec
	}
}

func busy(after string) mishap {
	return func(func() *httptest.ResponseRecorder) *httptest.ResponseRecorder {
		rec := httptest.NewRecorder()
		if after != "" {
			rec.Header().Set("Retry-After", after)
		}
		rec.WriteHeader(http.StatusTooManyRequests)
		return rec
	}
}

// instead does what was asked, and answers with another status, quoting what it would have answered.
func instead(w *world, status int) mishap {
	return func(next func() *httptest.ResponseRecorder) *httptest.ResponseRecorder {
		rec := next()
		quoted, _ := json.Marshal("it went wrong: " + rec.Body.String())
		all, _ := json.Marshal("it went wrong: " + strings.Join(w.values(), " "))
		return respond(status, `{"message": `+string(quoted)+`, "error": {"message": `+string(all)+`}}`)(nil)
	}
}

// lie does what was asked, and changes what it says about it.
func (w *world) lie(change func(text string) string) mishap {
	return func(next func() *httptest.ResponseRecorder) *httptest.ResponseRecorder {
		rec := next()
		text := change(rec.Body.String())
		rec.Body = bytes.NewBufferString(text)
		return rec
	}
}

// lieOfKey changes what it says of the newest key.
func (w *world) lieOfKey(change func(k *stored) (from, to string)) mishap {
	return w.lie(func(text string) string {
		w.a.mu.Lock()
		defer w.a.mu.Unlock()
		if len(w.a.keys) == 0 || w.a.made < 2 {
			return text
		}
		from, to := change(w.a.keys[len(w.a.keys)-1])
		if from == "" {
			return text
		}
		quoted := strings.ReplaceAll(text, `"`+from+`"`, `"`+to+`"`)
		if quoted != text || to != "" {
			return strings.ReplaceAll(quoted, from, to)
		}
		return strings.ReplaceAll(strings.ReplaceAll(text, ":"+from, ":null"), from, to)
	})
}

// twiceInList has a list name each key twice.
func twiceInList(name, text string) string {
	d, err := httpdriver.Provider(name)
	if err != nil || d.List == nil {
		return text
	}
	var doc any
	if json.Unmarshal([]byte(text), &doc) != nil {
		return text
	}
	if d.List.Items == "" {
		if items, ok := doc.([]any); ok {
			out, _ := json.Marshal(append(items, items...))
			return string(out)
		}
		return text
	}
	p, _ := jsonpointer.Parse(d.List.Items)
	holder, _ := p[:len(p)-1].In(doc)
	object, ok := holder.(map[string]any)
	if !ok {
		return text
	}
	if items, ok := object[p[len(p)-1]].([]any); ok {
		object[p[len(p)-1]] = append(items, items...)
	}
	out, _ := json.Marshal(doc)
	return string(out)
}

// reply writes JSON.
func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if body != nil {
		_ = json.NewEncoder(w).Encode(body)
	}
}

type object = map[string]any

// read reads a body of JSON strictly: what is needed has to be there, and nothing but that and what may be.
func (a *account) read(r *http.Request, needed, may string) object {
	var body object
	text, _ := io.ReadAll(r.Body)
	if err := json.Unmarshal(text, &body); err != nil || r.Header.Get("Content-Type") != "application/json" {
		a.refuses = fmt.Sprintf("the body is no JSON object, or is not called one: %v", err)
		return object{}
	}
	a.strict(body, needed, may)
	return body
}

// form reads a form as strictly.
func (a *account) form(r *http.Request, needed, may string) url.Values {
	if err := r.ParseForm(); err != nil {
		a.refuses = err.Error()
	}
	fields := object{}
	for name, values := range r.PostForm {
		fields[name] = values[0]
	}
	a.strict(fields, needed, may)
	return r.PostForm
}

// parts reads a form of multipart/form-data as strictly.
func (a *account) parts(r *http.Request, needed, may string) url.Values {
	const most = 1 << 20
	if err := r.ParseMultipartForm(most); err != nil {
		a.refuses = "it is no multipart form: " + err.Error()
		return nil
	}
	return a.form(r, needed, may)
}

func (a *account) query(r *http.Request, needed, may string) url.Values {
	fields := object{}
	for name, values := range r.URL.Query() {
		fields[name] = values[0]
	}
	a.strict(fields, needed, may)
	return r.URL.Query()
}

func (a *account) strict(fields object, needed, may string) {
	for name := range strings.FieldsSeq(needed) {
		if value, ok := fields[name]; !ok || value == "" || value == nil {
			a.refuses = "it has no " + name
		}
	}
	for name := range fields {
		if !slices.Contains(strings.Fields(needed+" "+may), name) {
			a.refuses = "it has the unknown field " + name
		}
	}
}

func text(fields object, name string) string {
	s, _ := fields[name].(string)
	return s
}

// masked is how vendors show a value that they have given out before.
func masked(value string) string { return value[:2] + "…" + value[len(value)-4:] }
