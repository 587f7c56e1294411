package boundary

import (
	"errors"
	"hash/maphash"
	"io"
	"slices"
	"strings"
	"sync/atomic"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/scrub"
	"sallyport/internal/fault"
)

// tokenLend is how many bytes of what may be the beginning of the token may leave before it is known how it goes on.
// They hold no more of it than its id, which is no secret, in any spelling.
const tokenLend = 14

// watches keeps the matchers of the tokens that were presented last: to compile one takes longer than all else that is
// done for a request. It is a cache of fixed size in which a newer token takes an older one's place.
type watches struct {
	seed  maphash.Seed
	slots [256]atomic.Pointer[tokenForms]
}

// tokenForms is what a token may look like on its way out.
type tokenForms struct {
	token string
	forms *scrub.Set
}

func newWatches() *watches { return &watches{seed: maphash.MakeSeed()} }

// of returns the forms of a token that has been verified.
func (w *watches) of(token string) *scrub.Set {
	slot := &w.slots[maphash.String(w.seed, token)%uint64(len(w.slots))]
	if t := slot.Load(); t != nil && t.token == token {
		return t.forms
	}
	t := &tokenForms{strings.Clone(token), scrub.Compile([]byte(token))}
	slot.Store(t)
	return t.forms
}

// tokenLeaves is the fault of a request that would carry the proxy token to the API.
func tokenLeaves(where string) *fault.Fault {
	return fault.New(fault.RequestMalformed,
		"the proxy token also stands in "+where+", from where it would reach the API").
		WithHint("put the token in " + HeaderToken + " only")
}

// tokenStays refuses a request whose head would carry the proxy token to the API, in whatever spelling.
func tokenStays(o *credential.Outgoing, token *scrub.Set) *fault.Fault {
	switch {
	case token.Finds(o.Method):
		return tokenLeaves("the method")
	case token.Finds(o.Path):
		return tokenLeaves("the path")
	case token.Finds(o.RawQuery):
		return tokenLeaves("the query")
	}
	for name, values := range o.Header {
		if token.FindsFolded(name) {
			return tokenLeaves("the name of a header")
		}
		if slices.ContainsFunc(values, token.Finds) {
			return tokenLeaves("the header " + name)
		}
	}
	return nil
}

// watchedBody is what goes to the API as a request's body, up to where the token would be complete.
type watchedBody struct {
	io.ReadCloser
	watch *scrub.Watch
	spare []byte // passed, but there was no room for it
	end   error
	found atomic.Bool // the transport may still read when its response is there
}

// Read implements io.Reader.
func (b *watchedBody) Read(p []byte) (int, error) {
	for len(p) > 0 {
		if len(b.spare) > 0 {
			n := copy(p, b.spare)
			b.spare = b.spare[n:]
			return n, nil
		}
		if b.end != nil {
			return 0, b.end
		}
		if n := b.fill(p); n > 0 {
			return n, nil
		}
	}
	return 0, nil
}

// fill reads once, and puts what may pass into p as far as it has room, and the rest into spare.
func (b *watchedBody) fill(p []byte) int {
	held := b.watch.Held()
	buf := p
	if len(buf) < 2*held {
		buf = make([]byte, 2*held)
	}
	n, err := b.ReadCloser.Read(buf[held:])
	var out []byte
	found := false
	if n > 0 {
		out, found = b.watch.Pass(buf[:held+n])
	}
	passed := copy(p, out)
	b.spare = append(b.spare[:0], out[passed:]...)
	if errors.Is(err, io.EOF) && !found {
		out, found = b.watch.End()
		n := copy(p[passed:], out)
		passed += n
		b.spare = append(b.spare, out[n:]...)
	}
	b.end = err
	if found {
		b.found.Store(true)
		b.end = tokenLeaves("the body")
	}
	return passed
}

// failure is why the body was broken off, or nil.
func (b *watchedBody) failure() *fault.Fault {
	if b == nil || !b.found.Load() {
		return nil
	}
	return tokenLeaves("the body")
}
