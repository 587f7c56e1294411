package derive

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"maps"
	"slices"
	"time"

	"sallyport/internal/secret"
)

// State is what is on record of one derived token. It holds secrets: they are redacted wherever a State is printed or
// encoded, but for Plain.
type State struct {
	Token  secret.Value
	Minted time.Time
	Expiry time.Time // by the clock of the machine that minted it
	Inputs string    // Minter.Inputs of the Minter that made Token

	Refresh secret.Value
	Grant   string // fingerprint of what Refresh belongs to: token endpoint, client, refresh token in configuration
	Rotates bool   // the provider has answered with a new refresh token at least once
	Steady  bool   // it has answered at least once, and never with a new refresh token

	Spending   time.Time // since when Refresh is being spent; zero: it is not
	Recovering bool      // the one more attempt to spend it has been used
	Rejected   string    // what the provider called its refusal of the refresh token; "" if it has not refused it
}

// empty tells the zero State, which a Mint that failed returns if nothing has changed.
func (s State) empty() bool { return s.Token.IsZero() && s.Refresh.IsZero() && s.Grant == "" }

// plain is State as JSON has it.
type plain struct {
	Token      string    `json:"token,omitempty"`
	Minted     time.Time `json:"minted,omitzero"`
	Expiry     time.Time `json:"expiry,omitzero"`
	Inputs     string    `json:"inputs,omitempty"`
	Refresh    string    `json:"refresh,omitempty"`
	Grant      string    `json:"grant,omitempty"`
	Rotates    bool      `json:"rotates,omitempty"`
	Steady     bool      `json:"steady,omitempty"`
	Spending   time.Time `json:"spending,omitzero"`
	Recovering bool      `json:"recovering,omitempty"`
	Rejected   string    `json:"rejected,omitempty"`
}

// Plain is the State as JSON with its secrets in the clear: for sealing, and for nothing else.
func (s State) Plain() ([]byte, error) {
	return json.Marshal(plain{
		Token: string(s.Token.Reveal()), Minted: s.Minted.UTC(), Expiry: s.Expiry.UTC(), Inputs: s.Inputs,
		Refresh: string(s.Refresh.Reveal()), Grant: s.Grant, Rotates: s.Rotates, Steady: s.Steady,
		Spending: s.Spending.UTC(), Recovering: s.Recovering, Rejected: s.Rejected,
	})
}

// ReadState reads what Plain wrote. The error quotes nothing of it.
func ReadState(b []byte) (State, error) {
	var p plain
	if err := json.Unmarshal(b, &p); err != nil {
		return State{}, fmt.Errorf("reading a derived token: %d bytes that are not its JSON form", len(b))
	}
	return State{
		Token: secret.NewValue([]byte(p.Token)), Minted: p.Minted, Expiry: p.Expiry, Inputs: p.Inputs,
		Refresh: secret.NewValue([]byte(p.Refresh)), Grant: p.Grant, Rotates: p.Rotates, Steady: p.Steady,
		Spending: p.Spending, Recovering: p.Recovering, Rejected: p.Rejected,
	}, nil
}

// fingerprint gathers inputs, each with its length, so that no two lists of inputs are one text. It only ever stands in
// a State, which is sealed: it would let a short secret be guessed.
type fingerprint struct{ sum hash.Hash }

func newFingerprint(kind string) *fingerprint {
	f := &fingerprint{sha256.New()}
	f.text(kind)
	return f
}

func (f *fingerprint) bytes(b []byte) {
	var length [8]byte
	binary.BigEndian.PutUint64(length[:], uint64(len(b)))
	f.sum.Write(length[:])
	f.sum.Write(b)
}

func (f *fingerprint) text(texts ...string) {
	for _, s := range texts {
		f.bytes([]byte(s))
	}
}

func (f *fingerprint) list(texts []string) {
	f.text(fmt.Sprint(len(texts)))
	f.text(texts...)
}

func (f *fingerprint) values(m map[string]secret.Value) {
	f.text(fmt.Sprint(len(m)))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		f.text(name)
		f.bytes(m[name].Reveal())
	}
}

func (f *fingerprint) String() string { return hex.EncodeToString(f.sum.Sum(nil)[:16]) }
