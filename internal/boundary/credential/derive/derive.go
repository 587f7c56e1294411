// Package derive makes the tokens that are derived from a credential: one file for each kind of grant, and one Source
// that keeps such a token fresh.
//
// A Minter makes one token by one call to a token endpoint; a Source mints when there is need, early and once for all
// who wait, in this process and across replicas. The package knows no configuration, no database and no service: the
// caller gives it a transport, a Vault that seals and shares what has to outlive the process, and an Owner that gives
// one replica the right to mint. How a token goes onto a request is package credential's business.
//
// Invariant: a token is in the Vault before it is handed out, and that a refresh token is being spent is in the Vault
// before it leaves. So no token is lost in silence, and none is spent twice at a provider that takes that for theft.
package derive

import (
	"context"
	"errors"
	"time"

	"sallyport/internal/secret"
)

// Minter makes one token. Implementations are the kinds; a Source never calls one twice at once, and sets Minted and
// Inputs of what it returns.
type Minter interface {
	// Mint asks for a token. prev is what is on record. Beside an error it may return a State that has to be on record
	// from now on; the zero State changes nothing.
	Mint(ctx context.Context, prev State) (State, error)

	// Inputs is a fingerprint of everything that a token depends on. A token that was made from other inputs is void.
	Inputs() string
}

// Spender is a Minter whose Mint uses up what is on record.
type Spender interface {
	Minter

	// Spend returns what has to be on record before Mint is called with it: prev with the marker Spending, or without
	// it where nothing can be lost. The error says why there is nothing that may be spent.
	Spend(prev State, now time.Time) (State, error)
}

// ErrStale is what a Vault's Save returns when the record has another version than the one that was loaded.
var ErrStale = errors.New("the derived token was changed by another process in between")

// Vault keeps one State for each name, sealed, and shared by all replicas. It is safe for concurrent use.
type Vault interface {
	// Load returns the State and its version; the zero State and version 0 when there is none.
	Load(ctx context.Context, name string) (State, int64, error)

	// Save replaces the State if the record still has that version, and gives it the version after it; otherwise
	// ErrStale. When it returns nil, the State outlives the process. Any other error leaves open whether it was saved.
	Save(ctx context.Context, name string, s State, version int64) error
}

// Owner gives one caller at a time, of this process and of all replicas, the right to mint for a name. The right of a
// process that dies passes on. Losing it unnoticed is harmless: the Vault's versions still let one of two spend a
// refresh token.
type Owner interface {
	Acquire(ctx context.Context, name string) (release func(), err error)
}

// Token is an active derived token.
type Token struct {
	Secret secret.Value
	Expiry time.Time // by this machine's clock
	Serial uint64    // counts the tokens of one Source, from 1: what is built of a token can be kept under it

	Beside secret.Value // the refresh token on record with it, which must not come back either; zero: none
}

// Install puts a State on record, such as what a Connect has brought home. Sources learn of it by Reload, or when they
// mint.
func Install(ctx context.Context, v Vault, o Owner, name string, s State) error {
	release, err := o.Acquire(ctx, name)
	if err != nil {
		return err
	}
	defer release()
	_, version, err := v.Load(ctx, name)
	if err != nil {
		return err
	}
	return v.Save(ctx, name, s, version)
}
