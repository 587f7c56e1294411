package cli

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"sallyport/internal/config"
)

// logger is the process's own log, as configured. On a terminal it is written for the person who looks at it.
func (e *env) logger(c config.Log) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo
	}
	o := &slog.HandlerOptions{Level: level}
	switch {
	case c.Format == "json":
		return slog.New(slog.NewJSONHandler(e.Err, o))
	case isTerminal(e.Err):
		return slog.New(newTerminalLog(e.Err, level))
	}
	return slog.New(slog.NewTextHandler(e.Err, o))
}

// terminalLog writes a line as "15:04:05 WARN what happened key=value": the text handler's values behind the time of
// day and the message, and no level where there is nothing to worry about.
type terminalLog struct {
	to     io.Writer
	mu     *sync.Mutex
	values slog.Handler // writes the attributes alone into line
	line   *bytes.Buffer
}

func newTerminalLog(to io.Writer, level slog.Level) *terminalLog {
	t := &terminalLog{to: to, mu: new(sync.Mutex), line: new(bytes.Buffer)}
	t.values = slog.NewTextHandler(t.line,
		&slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
				return slog.Attr{}
			}
			return a
		}})
	return t
}

// Enabled implements slog.Handler.
func (t *terminalLog) Enabled(ctx context.Context, level slog.Level) bool {
	return t.values.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (t *terminalLog) Handle(ctx context.Context, r slog.Record) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.line.Reset()
	if err := t.values.Handle(ctx, r); err != nil {
		return err
	}
	words := []string{r.Time.Format(time.TimeOnly)}
	if r.Level != slog.LevelInfo {
		words = append(words, r.Level.String())
	}
	text := strings.Join(append(words, r.Message), " ")
	if values := strings.TrimSpace(t.line.String()); values != "" {
		text += "  " + values
	}
	_, err := io.WriteString(t.to, text+"\n")
	return err
}

// WithAttrs implements slog.Handler.
func (t *terminalLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &terminalLog{to: t.to, mu: t.mu, line: t.line, values: t.values.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (t *terminalLog) WithGroup(name string) slog.Handler {
	return &terminalLog{to: t.to, mu: t.mu, line: t.line, values: t.values.WithGroup(name)}
}
