// Package sink ships the audit log to where others keep it: a SIEM, a collector, a bucket that nobody can delete from.
// It is the port, with a folder for each kind of sink below it, and the Shipper that works for every kind.
//
// A sink never stands in a request's way. The file of the log is the truth, and a Shipper reads it behind a Cursor that
// is kept on disk: a receiver that blocks, refuses or is away for a day keeps nobody waiting, takes no memory, and gets
// the rest when it is back. What was shipped may come again after a crash; seq and mac tell that it is the same.
//
// Invariant: the cursor passes a record only when the receiver has said that it has it, or when no file has the record
// any more; that is a gap, which is counted, logged, and on record with its range.
package sink

import (
	"context"
	"errors"
	"time"

	"sallyport/internal/audit"
	"sallyport/internal/secret"
)

// Kind is all that the rest of Sallyport knows of a kind of sink. The folder of an adapter declares its own;
// internal/app has the one list of them.
type Kind struct {
	Name    string // what the configuration says for `kind`, and the name of the folder
	Summary string // one sentence, for the reference and for editors
	Page    string // Markdown: its page in docs/sinks, from where links count

	// Settings returns empty settings: a pointer to a struct whose fields are the keys that sinks of this kind have
	// beside the common ones. Its tags are those of package config.
	Settings func() Settings
}

// Settings are what one sink of a kind is set up with.
type Settings interface {
	// Check reports what is wrong with single values and with what they say of each other.
	Check(r secret.Report)
	// Secrets lists the secrets that the receiver wants, such as a token.
	Secrets() []secret.Ref
	// Open makes the sink. It contacts nobody, and is called only with settings that Check has found nothing wrong
	// with.
	Open(ctx context.Context, on Host) (Sink, error)
}

// Host is what a sink finds where it is opened.
type Host struct {
	// Secret reads one of the settings' own secrets. It is read for each batch, and nothing is kept: a rotated one
	// counts at once.
	Secret   func(ctx context.Context, ref secret.Ref) (secret.Value, error)
	Hostname string // of this machine, as records name it
	Version  string // of Sallyport
	Now      func() time.Time
}

// Sink is a receiver. A Shipper calls it from one goroutine at a time.
type Sink interface {
	// Ship hands a batch over, in order, and returns nil once the receiver has said that it has all of it. After an
	// error all of it is shipped again: a receiver may get records twice, and tells by Seq and Log. Ship returns soon
	// after ctx has ended, keeps nothing of batch, and puts no secret into an error.
	Ship(ctx context.Context, batch []Item) error
	// Close lets go of connections.
	Close() error
}

// Item is a record, or a checkpoint, on its way.
type Item struct {
	Seq  int       // of the record, or the number of the checkpoint
	Time time.Time // of it
	Log  string    // id of the log
	Text []byte    // what is to be kept: JSON, one line without its end
	// Event is the record. The zero Event: it is a checkpoint.
	Event audit.Event
}

// ErrTooLarge is wrapped by errors of Ship when the receiver does not take so much at once: a smaller batch comes next.
var ErrTooLarge = errors.New("it does not take so much at once")

// WaitError is an error of Ship of a receiver that says when to come again.
type WaitError struct {
	After time.Duration
	Err   error
}

// Error implements error.
func (e *WaitError) Error() string { return e.Err.Error() }

// Unwrap implements errors.Unwrap.
func (e *WaitError) Unwrap() error { return e.Err }

// Source is what a Shipper reads: the records of a log, or its checkpoints.
type Source interface {
	// Newest is the number of the newest item that the log has acknowledged.
	Newest() int
	// Signed is the number of the newest item that will be there after a power cut too.
	Signed() int
	// Read returns what comes behind a Mark; see audit.ReadAfter for its errors.
	Read(ctx context.Context, at audit.Mark, bound audit.Bound) (audit.Run, error)
	// End is the Mark behind the newest item.
	End(ctx context.Context) (audit.Mark, error)
}
