package app

import (
	"context"
	"maps"
	"slices"
	"time"

	"sallyport/internal/audit"
	"sallyport/internal/boundary/token"
	"sallyport/internal/config"
)

// narrow puts on record, and into the database, what the configuration has narrowed of the tokens' own scopes. It is so
// in memory already; without a database it is tried again later.
func (a *App) narrow(ctx context.Context) {
	list := a.state.Tokens.Narrowings()
	if len(list) == 0 {
		return
	}
	names := make(map[string]string)
	for _, one := range list {
		names[one.Name] = one.To.String()
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if err := a.audit.Admin(ctx, &audit.Event{
			Actor: "configuration", Action: "token.scope",
			Subject: name + " " + names[name],
		}); err != nil {
			a.log.ErrorContext(ctx, "recording that the configuration narrows a token's scope",
				"token", name, "error", err)
		}
	}
	if err := a.state.Tokens.Narrow(ctx); err != nil {
		a.log.ErrorContext(ctx,
			"writing down what the configuration narrows; it holds in memory, and is written later", "error", err)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		a.log.InfoContext(ctx, "the configuration has narrowed a token's own scope", "token", name,
			"scope", names[name])
	}
}

// warnDropped tells of tokens that next does not name any more: what they have now is not what the configuration says.
func (a *App) warnDropped(ctx context.Context, before, next *config.Config) {
	list, err := a.state.Tokens.List(ctx)
	if err != nil {
		return // told elsewhere
	}
	for _, g := range list {
		_, was := before.Tokens[g.Name]
		_, is := next.Tokens[g.Name]
		if was && !is && g.State(time.Now()) == token.Current {
			a.log.WarnContext(ctx,
				"a token is not in the configuration any more; its own scope holds, as far as the configuration has "+
					"not narrowed it",
				"token", g.Name, "scope", g.Scope.String(), "hint", "`sallyport token scope "+g.Name+
					"` gives it another, `sallyport token revoke "+g.Name+"` ends it")
		}
	}
}

// flushTokens writes down when tokens were last used; the last seconds before a kill -9 are in the audit log.
func (a *App) flushTokens(ctx context.Context) {
	a.flush(ctx)
	every(ctx, flushInterval, func() {
		a.flush(ctx)
		a.narrow(ctx)
	})
	a.flush(context.WithoutCancel(ctx))
}

func (a *App) flush(ctx context.Context) {
	if err := a.state.Tokens.Flush(ctx); err != nil && ctx.Err() == nil {
		a.log.ErrorContext(ctx, "writing down the last use of tokens", "error", err)
	}
	if err := a.uses.Flush(ctx); err != nil && ctx.Err() == nil {
		a.log.ErrorContext(ctx, "writing down who uses which version of a secret", "error", err)
	}
	if list, err := a.state.Tokens.List(ctx); err == nil {
		a.tokens.Store(&list)
	}
}

// recheckEvery bounds how long a stream or socket outlives its token.
const recheckEvery = time.Second

// endExpired ends the streams and sockets of tokens that have expired meanwhile, or that may not be believed any
// longer.
func (a *App) endExpired(ctx context.Context) {
	every(ctx, recheckEvery/2, func() { a.pipeline.RecheckOld(recheckEvery / 2) })
}
