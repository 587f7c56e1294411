package app

import (
	"context"
	"maps"
	"slices"
)

// watchConfig reloads when a file of the configuration changes. It does not wait until what it has read is loaded: the
// next change takes the place of that.
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
