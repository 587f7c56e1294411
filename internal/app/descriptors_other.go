//go:build !unix

package app

import (
	"context"
	"log/slog"

	"sallyport/internal/config"
)

// raiseDescriptors does nothing where there is no such limit.
func raiseDescriptors(context.Context, *config.Config, *slog.Logger) uint64 { return 0 }
