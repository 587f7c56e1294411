package assemble

import (
	"errors"
	"fmt"
	"maps"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/config"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
	"sallyport/internal/secret/resolve"
)

// Held returns what is in memory: of the active stores, or of those that will be.
type Held func(secret.Ref) (res secret.Result, failure error)

// Of is what a reference names, as credentials take it.
func (held Held) Of(ref secret.Ref) (value secret.Value, label string, unconfirmed, err error) {
	res, failure := held(ref)
	if res.Err != nil {
		return secret.Value{}, "", nil, Unusable(ref, res.Err)
	}
	if failure != nil {
		unconfirmed = Unusable(ref, failure)
	}
	return res.Value, Label(ref, res.Version), unconfirmed, nil
}

// Unusable is the fault of a reference that cannot be obtained.
func Unusable(ref secret.Ref, err error) *fault.Fault {
	hint := fault.HintOf(err)
	switch {
	case errors.Is(err, secret.ErrNotFound), errors.Is(err, secret.ErrVersionGone):
		if ref.Store == secret.Builtin {
			hint = "set it with `sallyport secret set " + ref.Path + "`"
		}
		return hinted(fault.New(fault.CredentialMissing, fmt.Sprintf("%s: no such secret or version", ref)),
			hint).Wrap(err)
	case errors.Is(err, resolve.ErrNoStore):
		return fault.New(fault.CredentialMissing, fmt.Sprintf("%s names a store that is not configured", ref)).Wrap(err)
	case errors.Is(err, resolve.ErrField):
		return hinted(fault.New(fault.CredentialMissing,
			fmt.Sprintf("%s: the value is not a JSON object with this field", ref)), hint).Wrap(err)
	case errors.Is(err, secret.ErrDenied):
		return hinted(fault.New(fault.StoreUnavailable, fmt.Sprintf("%s: the store denies access", ref)),
			hint).Wrap(err)
	}
	return hinted(fault.New(fault.StoreUnavailable, fmt.Sprintf("%s: the store cannot be read", ref)), hint).Wrap(err)
}

func hinted(f *fault.Fault, hint string) *fault.Fault {
	if hint != "" {
		f.Hint = hint
	}
	return f
}

// Label names a version for the audit log.
func Label(ref secret.Ref, v secret.Version) string {
	if ref.Store == secret.Builtin {
		return ref.Path + "@" + v.ID
	}
	return ref.Store + "://" + ref.Path + "@" + v.ID
}

// Secrets are what a service's credentials are made of, as memory has them.
type Secrets struct {
	values      map[secret.Ref]labelled
	unconfirmed error // what keeps one of them from being confirmed
}

// labelled is a secret with what the audit log calls it.
type labelled struct {
	value secret.Value
	label string
}

// same tells whether nothing has changed, so that what was made of it is still good.
func (s *Secrets) same(other *Secrets) bool {
	return maps.EqualFunc(s.values, other.values, func(a, b labelled) bool {
		return a.label == b.label && a.value.Equal(b.value)
	})
}

// Reader reads from s.
func (s *Secrets) Reader() *credential.Reader { return &credential.Reader{Get: s.get} }

func (s *Secrets) get(ref secret.Ref) (secret.Value, error) {
	one, ok := s.values[ref]
	if !ok {
		return secret.Value{}, fmt.Errorf("%s was not read", ref)
	}
	return one.value, nil
}

// Resolve takes what a service's references name out of memory. Its faults are CredentialMissing and StoreUnavailable.
func Resolve(c *config.Service, held Held) (*Secrets, error) {
	found := &Secrets{values: make(map[secret.Ref]labelled)}
	for _, ref := range c.Refs() {
		value, label, unconfirmed, err := held.Of(ref)
		if err != nil {
			return nil, err
		}
		if found.unconfirmed == nil {
			found.unconfirmed = unconfirmed
		}
		found.values[ref] = labelled{value, label}
	}
	return found, nil
}
