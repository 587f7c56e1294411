//go:build unix

package app

import (
	"context"
	"log/slog"
	"syscall"

	"sallyport/internal/config"
)

// besides is how many descriptors a gate needs beside those of its requests: database, log, listeners, stores.
const besides = 100

// neededDescriptors are two for each request, one to the caller and one to the API, and those of the other connections
// that limits.connections asks for.
func neededDescriptors(c *config.Config) uint64 {
	return uint64(c.Limits.InFlight) + uint64(max(c.Limits.InFlight, c.Limits.Connections)) + besides //nolint:gosec // from 1 to 2000000
}

// raiseDescriptors raises the limit of open files to what the configuration needs, as far as the machine lets it, and
// warns where that is not far enough: requests would fail with system_refused long before they are answered with
// overloaded. It returns the limit.
func raiseDescriptors(ctx context.Context, c *config.Config, log *slog.Logger) uint64 {
	var now syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &now); err != nil {
		log.WarnContext(ctx, "the limit of open files is not known", "error", err)
		return 0
	}
	need := neededDescriptors(c)
	if now.Cur < need {
		more := now
		if more.Cur = need; more.Max < need {
			more.Max = need // root, or whoever may
		}
		if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &more) != nil {
			more = syscall.Rlimit{Cur: now.Max, Max: now.Max}
			_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &more)
		}
		_ = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &now)
	}
	if now.Cur < need {
		log.WarnContext(ctx, "too few open files are allowed for limits.in_flight: connections will fail under load",
			"allowed", now.Cur, "needed", need,
			"hint", "raise `ulimit -n` (LimitNOFILE= of the unit, ulimits of the container) to 2 × limits.in_flight "+
				"+ 100, or lower limits.in_flight")
	}
	return now.Cur
}
