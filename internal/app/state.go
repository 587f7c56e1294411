// Package app puts Sallyport together: the one place that names every adapter.
//
// State is what commands and the running gate share: configuration, database, sealing, the builtin store, tokens. App
// is the running gate around it: New builds everything before anything listens, Start listens, Reload swaps in a
// configuration that was fully built, Stop drains and tears down in reverse order.
package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sallyport/internal/boundary/assemble"
	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/boundary/credential/derive/pool"
	"sallyport/internal/boundary/service"
	"sallyport/internal/boundary/token"
	"sallyport/internal/config"
	"sallyport/internal/database"
	"sallyport/internal/database/ledger"
	"sallyport/internal/secret"
	"sallyport/internal/secret/builtin"
	"sallyport/internal/secret/seal"
)

// Purposes of the keys that are kept sealed in the database.
const (
	keyTokens     = "token"
	keyAuditChain = "audit-chain"
	keyAuditSign  = "audit-sign"
)

// State is what is kept, opened. Close it.
type State struct {
	Config    *config.Config
	DB        *database.DB
	Builtin   *builtin.Store
	Tokens    *token.Registry
	Wait      time.Duration     // how long Changed waits for the replicas
	Noted     func(text string) // is told what a person should know beside a result; may be nil
	sealer    *seal.Sealer
	stores    *Stores
	locks     *database.Locks
	vault     derive.Vault // of derived tokens
	owner     derive.Owner // gives the right to mint them
	pool      *pool.Pool   // of derived tokens
	assembler *assemble.Assembler
	journal   *ledger.Book // of the rotation journal of proxy tokens
	runs      *ledger.Book // of the runs of rotations of secrets
	approvals *ledger.Book // of the approvals of their plans
	adopted   bool         // the database's rows were put on record just now
}

// Plan has Tokens list each token with the scope that c gives it.
func (s *State) Plan(c *config.Config) { s.Tokens.SetScopes(scopes(c)) }

// Close waits for tokens that are being minted, and lets go of the stores and the database.
func (s *State) Close() error {
	s.pool.Close()
	return errors.Join(s.stores.Close(), s.locks.Close(), s.DB.Close())
}

func scopes(c *config.Config) *token.Scopes {
	m := make(map[string]token.Scope, len(c.Tokens))
	for name, t := range c.Tokens {
		m[name] = ScopeOf(t)
	}
	return token.NewScopes(m)
}

// ScopeOf is the scope that the configuration gives a token.
func ScopeOf(t *config.Token) token.Scope {
	return token.Scope{Services: t.Services, Methods: t.Methods, From: t.From}
}

func (s *State) control() control { return control{s.Config.Data} }

// Store opens a store of the configuration by name, for what it can do beyond being read.
func (s *State) Store(ctx context.Context, name string) (secret.Store, error) {
	return s.stores.Store(ctx, name)
}

// publish gives every service of a table its credentials, and returns how many have a failure.
func (s *State) publish(ctx context.Context, t *service.Table) (failed int) {
	return s.assembler.PublishAll(ctx, t, s.stores.resolver.Held)
}

// Resolve reads what a reference names, and returns "name@version" for the audit log beside it. Its faults are
// CredentialMissing and StoreUnavailable.
func (s *State) Resolve(ctx context.Context, ref secret.Ref) (secret.Value, string, error) {
	results, err := s.stores.resolver.Load(ctx, []secret.Ref{ref})
	if err != nil {
		return secret.Value{}, "", fmt.Errorf("reading %s: %w", ref, err)
	}
	if err := results[0].Err; err != nil {
		return secret.Value{}, "", assemble.Unusable(ref, err)
	}
	return results[0].Value, assemble.Label(ref, results[0].Version), nil
}
