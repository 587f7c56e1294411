package app

import (
	"context"
	"crypto/rand"
	"os"
	"strings"

	"sallyport/internal/database"
	"sallyport/internal/fault"
	"sallyport/internal/guard"
)

// newFollower registers this gate among the replicas, and keeps it acting by what is in the database.
func (a *App) newFollower() *database.Follower {
	host, _ := os.Hostname() // for people; the id tells replicas apart
	return &database.Follower{
		DB: a.state.DB,
		Self: database.Replica{
			ID: strings.ToLower(rand.Text()), Home: homeOf(a.o.Config.Data), Host: host,
			Address: a.listeners.gateway.Addr().String(), Version: a.o.Version,
		},
		MaxStale: a.o.Config.Revocation.MaxStale,
		Act:      a.refreshSafely,
		Fresh:    a.state.Tokens.FreshSince,
		Dead:     a.uses.Doubt,
		Broke:    func(why *fault.Panic) { a.broke("database", why) },
		Failed: func(topic string, err error) {
			a.log.Error("reading changed state; trying again", "topic", topic, "error", err)
		},
	}
}

// refreshSafely is refresh, which the follower calls in several goroutines and again after an error.
func (a *App) refreshSafely(ctx context.Context, topic string) error {
	err := guard.Try("reading changed state", func() error { return a.refresh(ctx, topic) })
	a.noticed("changed state", err)
	return err
}
