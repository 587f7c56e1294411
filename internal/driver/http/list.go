package httpdriver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"sallyport/internal/driver"
)

// What a list may have.
const (
	maxPages = 200
	maxKeys  = 10_000
)

// keys reads all pages of the list. A key that stands on two pages is one.
func (d *api) keys(ctx context.Context, job driver.Job) ([]driver.Key, error) {
	l, in := d.def.List, d.scope(job, nil)
	var keys []driver.Key
	seen := map[string]bool{}
	asked := map[string]bool{}
	query := l.Next.begin()
	for range maxPages {
		if asked[query.Encode()] {
			return nil, errors.New("the list leads back to a page that was there before")
		}
		asked[query.Encode()] = true
		a, err := d.send(ctx, &l.Call, in, query)
		if err != nil {
			return nil, err
		}
		if _, err := d.judge("list", &l.Call, a, job.Current); err != nil {
			return nil, err
		}
		items, err := l.page(a)
		if err != nil {
			return nil, err
		}
		fresh := 0
		for _, item := range items {
			if !allHold(l.Where, a.status, item) {
				fresh++
				continue
			}
			key, ok := l.Key.key(item)
			if !ok {
				return nil, errors.New("the list has a key without an id")
			}
			if !seen[key.ID] {
				seen[key.ID] = true
				keys = append(keys, key)
				fresh++
			}
		}
		if len(keys) > maxKeys {
			return nil, fmt.Errorf("the list has more than %d keys", maxKeys)
		}
		if query, err = l.next(a, query, len(items), fresh); err != nil || query == nil {
			return keys, err
		}
	}
	return nil, fmt.Errorf("the list has more than %d pages", maxPages)
}

// page is the list in an answer. What is not there is an error, and not an empty list: a key that is not seen is taken
// for one that does not exist.
func (l *List) page(a answer) ([]any, error) {
	if a.err != nil {
		return nil, a.err
	}
	found, ok := l.items.In(a.doc)
	if text, empty := found.(string); ok && empty && text == "" {
		return nil, nil // an element of XML without any in it
	}
	if _, object := a.doc.(map[string]any); l.Maybe && object && !ok {
		return nil, nil
	}
	items, isList := found.([]any)
	if !ok || !isList {
		return nil, fmt.Errorf("the answer has no list at %q", l.Items)
	}
	return items, nil
}

func (n *Next) begin() url.Values {
	switch {
	case n == nil:
	case n.Page:
		return url.Values{n.Query: {strconv.Itoa(n.First)}}
	case n.Offset:
		return url.Values{n.Query: {"0"}}
	}
	return nil
}

// next is the query of the page after this one, or nil.
func (l *List) next(a answer, query url.Values, items, fresh int) (url.Values, error) {
	n := l.Next
	if n == nil || n.while != nil && !isTrue(a.doc, n) || n.isLast(a, query) {
		return nil, nil
	}
	switch {
	case n.Cursor != "":
		text, _ := textAt(a.doc, n.cursor)
		return n.with(text), nil
	case n.Header != "":
		return n.with(a.header.Get(n.Header)), nil
	case n.Link:
		return queryOf(linkNext(a.header))
	case n.URL != "":
		text, _ := textAt(a.doc, n.url)
		return queryOf(text)
	}
	if items == 0 || fresh == 0 {
		return nil, nil
	}
	at, err := strconv.Atoi(query.Get(n.Query))
	if err != nil {
		return nil, err
	}
	if n.Page {
		return n.with(strconv.Itoa(at + 1)), nil
	}
	return n.with(strconv.Itoa(at + items)), nil
}

func (n *Next) isLast(a answer, query url.Values) bool {
	last, ok := textAt(a.doc, n.last)
	return ok && last == query.Get(n.Query) || last == "0"
}

func isTrue(doc any, n *Next) bool {
	text, _ := textAt(doc, n.while)
	return text == "true"
}

func (n *Next) with(text string) url.Values {
	if text == "" {
		return nil
	}
	return url.Values{n.Query: {text}}
}

// queryOf is the query of the next page's URL. Host and path stay those of the definition: an answer does not decide
// where the administrator's credential goes.
func queryOf(text string) (url.Values, error) {
	if text == "" {
		return nil, nil
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("the URL of the list's next page is none")
	}
	return url.ParseQuery(u.RawQuery)
}

var linkForm = regexp.MustCompile(`<([^<>]*)>([^<]*)`)

// linkNext is the link to the next page (RFC 8288).
func linkNext(header http.Header) string {
	for _, line := range header.Values("Link") {
		for _, found := range linkForm.FindAllStringSubmatch(line, -1) {
			for parameter := range strings.SplitSeq(found[2], ";") {
				name, value, _ := strings.Cut(strings.Trim(parameter, " ,\t"), "=")
				if strings.EqualFold(name, "rel") && strings.Trim(value, `"`) == "next" {
					return found[1]
				}
			}
		}
	}
	return ""
}
