package app

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/boundary/credential/derive/pool"
	"sallyport/internal/config"
)

// Topics of change, as the database announces them. Derived tokens have one each, pool.Topic.
const (
	topicTokens  = "tokens"
	topicSecrets = "secrets"
	topicStore   = "store:" // with the name of a store other than builtin, whose changes the database knows nothing of
	topicUsage   = "usage"  // not a change: someone wants to read when tokens were last used
)

const (
	watchInterval = 2 * time.Second
	flushInterval = 5 * time.Second
)

// refresh reads again what topic names ("" is everything). When it returns, the next request acts by it.
func (a *App) refresh(ctx context.Context, topic string) error {
	if store, ok := strings.CutPrefix(topic, topicStore); ok {
		return a.refreshStore(ctx, store)
	}
	if name, ok := pool.CutTopic(topic); ok {
		return a.refreshDerived(ctx, name)
	}
	if topic == topicTokens || topic == "" {
		err := a.state.Tokens.Load(ctx)
		a.pipeline.Recheck() // ends the streams and sockets of what is no longer valid
		if err != nil {
			return err
		}
	}
	if topic == topicUsage {
		a.flush(ctx)
	}
	if topic == "" {
		for _, name := range a.state.pool.Names() {
			if err := a.refreshDerived(ctx, name); err != nil {
				return err
			}
		}
	}
	if topic == topicSecrets || topic == "" {
		if err := a.state.stores.againBuiltin(ctx); err != nil {
			return err
		}
		a.reload.Lock()
		defer a.reload.Unlock()
		a.state.publish(ctx, a.pipeline.Services())
		a.state.pool.Retire()
	}
	return nil
}

// refreshDerived takes over what is on record of a derived token. If that is nothing any more, what is in memory goes too.
func (a *App) refreshDerived(ctx context.Context, name string) error {
	gone, err := a.state.connector().Disconnected(ctx, name)
	if err != nil || !gone {
		return errors.Join(err, a.state.pool.Reload(ctx, name))
	}
	a.reload.Lock()
	defer a.reload.Unlock()
	for _, svc := range a.state.pool.Forget(name) {
		a.state.assembler.Forget(svc)
		if a.pipeline.Services().Holds(svc) { // or else its credential is made when it becomes active
			_ = a.state.assembler.Publish(ctx, svc, a.state.stores.resolver.Held) // the service has the failure
		}
	}
	a.state.pool.Retire()
	return nil
}

// refreshStore reads what is in use of a store again. A slow one holds up nothing else meanwhile.
func (a *App) refreshStore(ctx context.Context, store string) error {
	if err := a.state.stores.resolver.Again(ctx, store); err != nil {
		return err
	}
	a.reload.Lock()
	defer a.reload.Unlock()
	a.state.publish(ctx, a.pipeline.Services())
	a.state.pool.Retire()
	return nil
}

// filesInForce are the files that a reload reads: the configuration's own, and those of its stores, such as a client
// certificate that is replaced before it ends.
func filesInForce(c *config.Config) []string { return append(c.Files(), storeFiles(c)...) }

// watchConfig reloads when a file of the configuration changes. It does not wait until what it has read is loaded: the next
// change takes the place of that.
func (a *App) watchConfig(ctx context.Context) {
	if a.o.ConfigPath == "" {
		return
	}
	every(ctx, watchInterval, func() {
		if read := *a.files.Load(); !maps.Equal(read, stamps(slices.Collect(maps.Keys(read)))) && !a.reloads.reads() {
			a.RequestReload(ctx)
		}
	})
}

// noteRead notes how the files are that are just being read for c, which is nil when it has errors. What changes later is another
// change to the watcher; that a file was replaced which could not be read is one too.
func (a *App) noteRead(active, c *config.Config) {
	files := filesInForce(active)
	if c != nil {
		files = filesInForce(c)
	}
	for _, name := range files { // also those that a configuration with errors has, and the active one has not
		if filepath.Ext(name) != ".yaml" {
			inside, _ := filepath.Glob(filepath.Join(name, "[^.]*.yaml"))
			files = union(files, inside)
		}
	}
	m := stamps(files)
	a.files.Store(&m)
}

// stamps tells by file what is different when a file is.
func stamps(files []string) map[string]string {
	m := make(map[string]string, len(files))
	for _, f := range files {
		m[f] = "gone"
		if info, err := os.Stat(f); err == nil {
			m[f] = strconv.FormatInt(info.Size(), 10) + " " + strconv.FormatInt(info.ModTime().UnixNano(), 10) + " " + identity(info)
		}
	}
	return m
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
	if list, err := a.state.Tokens.List(ctx); err == nil {
		a.tokens.Store(&list)
	}
}

// recheckEvery bounds how long a stream or socket outlives its token.
const recheckEvery = time.Second

// endExpired ends the streams and sockets of tokens that have expired meanwhile, or that may not be believed any longer.
func (a *App) endExpired(ctx context.Context) {
	every(ctx, recheckEvery/2, func() { a.pipeline.RecheckOld(recheckEvery / 2) })
}

// every calls fn at each tick until ctx ends.
func every(ctx context.Context, d time.Duration, fn func()) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			fn()
		}
	}
}
