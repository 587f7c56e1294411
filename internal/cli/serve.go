package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/config"
	"sallyport/internal/fault"
	"sallyport/internal/guard"
)

func (e *env) serve() *cobra.Command {
	var acceptDamage, startSealed bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the gate",
		Long: `Runs the gate until SIGINT or SIGTERM, then drains: requests in flight are finished, new ones are answered with "draining".
SIGHUP, or a change of the files, reloads the configuration; one with errors is refused and the old one stays active.
SIGHUP also begins a new audit log file where someone has moved the one before.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			reread := e.loader()
			c, warnings, err := reread()
			if err != nil {
				return err
			}
			for _, w := range warnings {
				e.note("warning: %s", w.Error())
			}
			return e.run(cmd.Context(),
				app.Options{Config: c, Reread: reread, AcceptAuditDamage: acceptDamage}, startSealed)
		},
	}
	cmd.Flags().BoolVar(&startSealed, "start-sealed", false,
		"while the store cannot be opened, answer store_unavailable instead of ending with exit code 10")
	cmd.Flags().BoolVar(&acceptDamage, "accept-audit-damage", false,
		"set a damaged audit log aside and begin a new one, which says so")
	return cmd
}

// run serves until ctx ends.
func (e *env) run(ctx context.Context, o app.Options, startSealed bool) error {
	log := e.logger(o.Config.Log)
	o.ConfigPath, o.Log, o.Version, o.Settled = e.watched(), log, Version(), tuneGC
	open := app.New
	if startSealed {
		open = app.NewWhenOpen
	}
	a, err := open(ctx, o)
	if err != nil {
		return err
	}
	tuneGC()
	if err := a.Start(ctx); err != nil {
		return err
	}
	stopReloading := onHangup(ctx, a)
	err = a.Wait(ctx)
	stopReloading()
	log.InfoContext(ctx, "stopping")
	return errors.Join(err, a.Stop(context.WithoutCancel(ctx)))
}

// The heap may grow by gcPercent of what is live before the next collection, but by no more than headroom where that is
// more than leastPercent. For a small gate this trades some 20 MiB of memory for a quarter of the collections: what is
// live is small, what requests leave is much. One with 10,000 services would pay for that with half a gigabyte.
const (
	gcPercent    = 400
	leastPercent = 50
	headroom     = 80 << 20
)

// tuneGC leaves the last word to GOGC. It is called when the configuration is loaded, and gives back what that took.
func tuneGC() {
	if _, set := os.LookupEnv("GOGC"); set {
		return
	}
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	debug.SetGCPercent(growth(m.HeapAlloc))
}

// growth is the percentage for a heap of that many live bytes.
func growth(live uint64) int {
	return int(min(gcPercent, max(leastPercent, headroom*100/max(live, 1))))
}

// watched is the file to re-read, or "" when there is none.
func (e *env) watched() string {
	path := e.configPath
	if path == "" {
		path = config.DefaultName
	}
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// onHangup reloads at SIGHUP until the returned function is called.
func onHangup(ctx context.Context, a *app.App) (stop func()) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	quit, done := make(chan struct{}), make(chan struct{})
	guard.Go("reloading at SIGHUP", func() {
		defer close(done)
		for {
			select {
			case <-hangup:
				a.ResettleAudit(ctx)
				a.RequestReload(ctx) // how it ends is logged, and in the metrics
			case <-quit:
				return
			}
		}
	}, func(*fault.Panic) {}) // Reload has told of its own
	return func() {
		signal.Stop(hangup)
		close(quit)
		<-done
	}
}
