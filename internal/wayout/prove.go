package wayout

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/nesting"
)

// ProofFormat is the form of proofs that this version writes.
const ProofFormat = "sallyport-egress-proof-1"

// Errors of proofs. What is wrong is in the text around them.
var (
	ErrNotClean = errors.New("not every way out was seen to be closed")
	ErrProof    = errors.New("the proof is not what was signed")
)

// Run is one report in a proof.
type Run struct {
	// Seen is "here" where the one that signed ran the check, or "file": the report was handed in, and stands for what
	// its node said.
	Seen   string `json:"seen"`
	Report Report `json:"report"`
}

// Proof is a signed statement: at these times, in these namespaces, no way out was open.
type Proof struct {
	Format    string    `json:"format"`
	Time      time.Time `json:"time"`
	Host      string    `json:"host"` // that signed
	Baseline  *Report   `json:"baseline"`
	Runs      []Run     `json:"runs"`
	Key       string    `json:"key"`       // audit.KeyID of the key
	Signature string    `json:"signature"` // Ed25519 over the text that SignedText returns, base64url
}

// Proving is what a proof is made of.
type Proving struct {
	Runs     []Run
	Baseline *Report       // nil with the public targets
	MaxAge   time.Duration // of a run
	Now      time.Time
	KeyID    string
	Sign     ed25519.PrivateKey
}

// Prove makes a proof of clean runs. Its error is ErrNotClean where one is open, unclear, old, twice there, or against
// other targets than the rest.
func Prove(p Proving) (Proof, error) {
	if len(p.Runs) == 0 {
		return Proof{}, fault.WithHint(fmt.Errorf("%w: there is no run", ErrNotClean), "name a report of each node")
	}
	seen := make(map[string]bool)
	for _, run := range p.Runs {
		r := run.Report
		if err := p.check(r); err != nil {
			return Proof{}, err
		}
		where := r.Host + " " + r.Namespace + " " + r.Role
		if seen[where] {
			return Proof{}, fault.WithHint(fmt.Errorf("%w: %s is there twice", ErrNotClean, where),
				"give one report of each node")
		}
		seen[where] = true
	}
	proof := Proof{
		Format: ProofFormat, Time: p.Now.UTC().Truncate(time.Second), Host: hostname(), Baseline: p.Baseline,
		Runs: p.Runs, Key: p.KeyID,
	}
	text, err := proof.SignedText()
	if err != nil {
		return Proof{}, err
	}
	proof.Signature = base64.RawURLEncoding.EncodeToString(ed25519.Sign(p.Sign, text))
	return proof, nil
}

func (p Proving) check(r Report) error {
	name := r.Host
	if r.Role != "" {
		name = r.Role + " on " + name
	}
	refuse := func(why, hint string) error {
		return fault.WithHint(fmt.Errorf("%w: %s: %s", ErrNotClean, name, why), hint)
	}
	age := p.Now.Sub(r.Time)
	switch {
	case r.Format != Format:
		return refuse(fmt.Sprintf("its format is %q, wanted %s", r.Format, Format), "sallyport egress check --json")
	case !r.whole():
		return refuse("it has not all the ways that this version tries, or says more than they do",
			"run the check with the same version of sallyport")
	case r.Status != Closed:
		return refuse(fmt.Sprintf("%d open, %d unclear", r.Count(Open), r.Count(Unclear)),
			"close the ways first; for what is unclear, docs/egress.md tells of targets of your own")
	case !r.Clean():
		return refuse("a setting of n8n is wrong", "sallyport egress check says which")
	case age > p.MaxAge || age < -time.Minute:
		return refuse("it was written at "+r.Time.UTC().Format(time.RFC3339),
			"run the check again, or allow older ones: --max-age")
	}
	return p.checkTargets(r, refuse)
}

// checkTargets: silence counts where the targets were reached from outside, by a run of the same targets.
func (p Proving) checkTargets(r Report, refuse func(why, hint string) error) error {
	const hint = "--baseline FILE: a run from outside of the wall with the same --target"
	if len(r.Targets) == 0 {
		return nil
	}
	if p.Baseline == nil {
		return refuse("it has targets of its own, and there is no baseline", hint)
	}
	if fmt.Sprint(p.Baseline.Targets) != fmt.Sprint(r.Targets) ||
		r.Baseline != p.Baseline.Host+" "+p.Baseline.Time.UTC().Format(time.RFC3339) {
		return refuse("it was made with another baseline", hint)
	}
	return nil
}

// whole tells whether a report has each way of this version once, and says of itself what its probes say.
func (r Report) whole() bool {
	want := (&scene{Options: Options{}.filled()}).ways()
	if len(want) != len(r.Probes) {
		return false
	}
	status := Closed
	for i, w := range want {
		p := r.Probes[i]
		if p.ID != w.id || len(p.Attempts) == 0 {
			return false
		}
		for _, a := range p.Attempts {
			if a.Status == Open && p.Status != Open {
				return false
			}
		}
		status = worse(status, p.Status)
	}
	return status == r.Status
}

// SignedText is what the signature covers: the line of its kind, and the proof as JSON without its signature.
func (p Proof) SignedText() ([]byte, error) {
	p.Signature = ""
	text, err := json.Marshal(p)
	return append([]byte("sallyport egress proof v1\n"), text...), err
}

// ReadReport reads what `egress check --json` printed. Nothing that it does not know is passed over.
func ReadReport(text []byte) (r Report, err error) {
	err = strict(text, &r)
	if err == nil && r.Format != Format {
		err = fmt.Errorf("its format is %q, wanted %s", r.Format, Format)
	}
	return r, err
}

// VerifyProof reads a proof and checks its signature, and that each run in it is clean.
func VerifyProof(text []byte, key ed25519.PublicKey, keyID string) (Proof, error) {
	refuse := func(why string) error { return fmt.Errorf("%w: %s", ErrProof, why) }
	var p Proof
	if err := strict(text, &p); err != nil {
		return p, refuse(err.Error())
	}
	if p.Format != ProofFormat {
		return p, refuse(fmt.Sprintf("its format is %q, wanted %s", p.Format, ProofFormat))
	}
	if p.Key != keyID {
		return p, refuse(fmt.Sprintf("signed by key %s, but the key of this database is %s", p.Key, keyID))
	}
	signature, err := base64.RawURLEncoding.DecodeString(p.Signature)
	if err != nil {
		return p, refuse("the signature is malformed")
	}
	signed, err := p.SignedText()
	if err != nil {
		return p, err
	}
	if !ed25519.Verify(key, signed, signature) {
		return p, refuse("the signature does not match")
	}
	return p, nil
}

// strict decodes one JSON value that has nothing unknown, and nothing behind it.
func strict(text []byte, into any) error {
	if err := nesting.Check(text); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("reading JSON: %w", err)
	}
	if d.More() {
		return errors.New("there is more behind the JSON")
	}
	return nil
}
