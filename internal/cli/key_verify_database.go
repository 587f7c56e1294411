package cli

import (
	"context"
	"errors"

	"sallyport/internal/masterkey/nodes"
	"sallyport/internal/masterkey/survey"
	"sallyport/internal/secret"
)

// prove tries a key on the database.
func (e *env) prove(ctx context.Context, d n8nDatabase, key secret.Value) (*nodes.Database, error) {
	db, err := e.openDatabase(ctx, d, false)
	if err != nil {
		return nil, err
	}
	v, err := survey.Check(ctx, db, key)
	if err = errors.Join(err, db.Close()); err != nil {
		return nil, err
	}
	return &nodes.Database{
		Name: db.Name(), Result: nodes.Result(v.Result), Proof: v.Proof,
		Readable: v.Readable + v.KeysOpen, Unreadable: v.Unreadable + v.Keys - v.KeysOpen,
	}, nil
}
