package standin

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"

	"sallyport/e2e/turnstile"
)

// IssuingDefinition is the API as a driver of kind http has it: its one parameter is the account.
const IssuingDefinition = `about: Keys of the stand-in API
upstream: https://127.0.0.1
parameters:
  account: {doc: The account whose keys they are., eg: sales}
label: {}
create:
  call: POST /v1/accounts/{account}/keys
  json: {name: "{label}"}
  status: [201]
  key: {id: /id, label: /name}
  value: {at: /token}
list:
  call: GET /v1/accounts/{account}/keys
  items: /keys
  key: {id: /id, label: /name}
delete:
  call: DELETE /v1/accounts/{account}/keys/{key}
  status: [204]
`

// Fault is what an Issuing API does wrong with an account.
type Fault int

// The faults.
const (
	Well             Fault = iota
	FailsOnceItIsSet       // the next key is made, and the answer is 500
	IssuesDeadKeys         // a key that is made is in the list, and is not good for a call
)

// IssuedKey is a key that an Issuing API has made.
type IssuedKey struct {
	ID, Account, Label, Value string

	Uses    int  // calls that were answered
	Refused int  // calls after its end, or with a dead one
	Deleted bool // by its owner
	Dead    bool // never good
}

// Issuing is an API whose keys are made, listed and deleted by calls, as those of providers are. Each key belongs to an
// account. Calls of the administrator need a key of their own; GET /v1/accounts/ACCOUNT/items needs a live one of the
// account's.
type Issuing struct {
	turnstile.Turnstile

	// Takes is how long a call of GET …/items takes at least, as an API does that is far away. Set it before the first.
	Takes time.Duration

	server *httptest.Server
	admin  string
	mint   func() string

	mu      sync.Mutex
	keys    []*IssuedKey
	faults  map[string]Fault
	firsts  map[string]*turnstile.Stop // by account
	strange int
}

// StartIssuing listens on a free loopback port, under a certificate of its own. mint makes the values of keys.
func StartIssuing(admin string, mint func() string) *Issuing {
	i := &Issuing{admin: admin, mint: mint, faults: map[string]Fault{}, firsts: map[string]*turnstile.Stop{}}
	mux := http.NewServeMux()
	const keys = "/v1/accounts/{account}/keys"
	mux.HandleFunc("POST "+keys, i.administrated(i.create))
	mux.HandleFunc("GET "+keys, i.administrated(i.list))
	mux.HandleFunc("DELETE "+keys+"/{id}", i.administrated(i.remove))
	mux.HandleFunc("GET /v1/accounts/{account}/items", i.items)
	i.server = httptest.NewTLSServer(i.Wrap(mux))
	return i
}

// URL is the base address.
func (i *Issuing) URL() string { return i.server.URL }

// CA is the certificate to trust, in PEM.
func (i *Issuing) CA() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.server.Certificate().Raw})
}

// Close ends it.
func (i *Issuing) Close() { i.server.Close() }

// Issue makes a key as a person does in the provider's console.
func (i *Issuing) Issue(account string) IssuedKey { return i.add(account, "by hand", false) }

// Break has an account's next calls go wrong; Well takes it back.
func (i *Issuing) Break(account string, f Fault) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.faults[account] = f
}

// StopFirstUse stops the next call of the account with a key that nobody has used yet.
func (i *Issuing) StopFirstUse(account string) *turnstile.Stop {
	s := turnstile.NewStop()
	i.mu.Lock()
	defer i.mu.Unlock()
	i.firsts[account] = s
	return s
}

// firstUse is what such a call is stopped by, or nil.
func (i *Issuing) firstUse(account, value string) *turnstile.Stop {
	i.mu.Lock()
	defer i.mu.Unlock()
	s := i.firsts[account]
	if s != nil && slices.ContainsFunc(i.keys, func(k *IssuedKey) bool { return k.Value == value && k.Uses == 0 }) {
		delete(i.firsts, account)
		return s
	}
	return nil
}

// Keys are all keys that the account ever had, the oldest first; those of all accounts for "".
func (i *Issuing) Keys(account string) (keys []IssuedKey) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, k := range i.keys {
		if account == "" || k.Account == account {
			keys = append(keys, *k)
		}
	}
	return keys
}

// Strange counts calls with what never was a key.
func (i *Issuing) Strange() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.strange
}

func (i *Issuing) add(account, label string, dead bool) IssuedKey {
	i.mu.Lock()
	defer i.mu.Unlock()
	k := &IssuedKey{
		ID: fmt.Sprintf("key-%d", len(i.keys)+1), Account: account, Label: label, Value: i.mint(),
		Dead: dead,
	}
	i.keys = append(i.keys, k)
	return *k
}

func bearer(r *http.Request) string {
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
}

func (i *Issuing) administrated(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if bearer(r) != i.admin {
			answer(w, http.StatusForbidden, map[string]string{"error": "administrators alone"})
			return
		}
		next(w, r)
	}
}

func (i *Issuing) create(w http.ResponseWriter, r *http.Request) {
	var in struct{ Name string }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Name == "" {
		answer(w, http.StatusBadRequest, map[string]string{"error": "a key needs a name"})
		return
	}
	account := r.PathValue("account")
	i.mu.Lock()
	fault := i.faults[account]
	if fault == FailsOnceItIsSet {
		i.faults[account] = Well
	}
	i.mu.Unlock()
	k := i.add(account, in.Name, fault == IssuesDeadKeys)
	if fault == FailsOnceItIsSet {
		answer(w, http.StatusInternalServerError, map[string]string{"error": "out of order"})
		return
	}
	answer(w, http.StatusCreated, map[string]string{"id": k.ID, "name": k.Label, "token": k.Value})
}

func (i *Issuing) list(w http.ResponseWriter, r *http.Request) {
	type shown struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	}
	list := []shown{}
	for _, k := range i.Keys(r.PathValue("account")) {
		if !k.Deleted {
			list = append(list, shown{k.ID, k.Label})
		}
	}
	answer(w, http.StatusOK, map[string]any{"keys": list})
}

func (i *Issuing) remove(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	at := slices.IndexFunc(i.keys, func(k *IssuedKey) bool {
		return k.ID == r.PathValue("id") && k.Account == r.PathValue("account") && !k.Deleted
	})
	if at < 0 {
		answer(w, http.StatusNotFound, map[string]string{"error": "no such key"})
		return
	}
	i.keys[at].Deleted = true
	w.WriteHeader(http.StatusNoContent)
}

// items is what keys are for.
func (i *Issuing) items(w http.ResponseWriter, r *http.Request) {
	account, value := r.PathValue("account"), bearer(r)
	far := time.NewTimer(i.Takes)
	defer far.Stop()
	select {
	case <-far.C:
	case <-r.Context().Done():
		return
	}
	if s := i.firstUse(account, value); s != nil && !s.Wait(r) {
		return
	}
	if !i.use(account, value) {
		answer(w, http.StatusUnauthorized, map[string]string{"error": "invalid api key"})
		return
	}
	items(w, r)
}

func (i *Issuing) use(account, value string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	at := slices.IndexFunc(i.keys, func(k *IssuedKey) bool { return k.Account == account && k.Value == value })
	switch {
	case at < 0:
		i.strange++
		return false
	case i.keys[at].Deleted || i.keys[at].Dead:
		i.keys[at].Refused++
		return false
	}
	i.keys[at].Uses++
	return true
}
