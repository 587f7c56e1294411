// Package audit keeps the record of every use of a credential: JSON lines in one
// append-only file, chained by HMAC-SHA256 and anchored by Ed25519-signed checkpoints.
//
// It is the gate's memory, not its diagnostics: no bodies, no header values, no query
// values, no tokens, no secrets. It does not decide anything, and does not ship files.
//
// A log is one run of bytes, from its first record to its newest. [Log.Rotate] only divides it
// into files: put together in order they are what one file would have been, and the chain, the
// record numbers and the offsets of checkpoints go on over them.
//
// Invariant: a call to [Log.Authorise] or [Log.Admin] that returned nil stands in the
// file, whole, in its place of the chain; whatever was changed, removed, reordered or cut
// off afterwards is found by [Verify], as far back from the end as the newest checkpoint.
//
// A line is {"seq":N,"time":…,"event":…,…,"mac":"…"}. The MAC of record n is
// HMAC(key, mac of n-1 ‖ the line's bytes before the final ,"mac":"…"}), so verification
// compares bytes and never has to agree on a canonical JSON.
package audit

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"sallyport/internal/fault"
)

// ErrClosed is returned by calls on a log after [Log.Close].
var ErrClosed = errors.New("audit log is closed")

// ErrLocked is returned by [Open] while another process holds the log. A command that
// meets it hands its event to that process instead.
var ErrLocked = errors.New("audit log is in use by another process")

// DamageError is returned by [Open] for a log that does not continue what its
// checkpoints signed. No record was changed.
type DamageError struct {
	Path    string // the log
	Problem Problem
}

// Error says what was found and where.
func (e *DamageError) Error() string {
	return fmt.Sprintf("opening audit log %q: %s", e.Path, e.Problem)
}

// Hint says how to repair it.
func (e *DamageError) Hint() string {
	return "run `sallyport audit verify` and keep a copy of the log and its checkpoints; " +
		"restore both files from backup, or move both away, and a new log begins"
}

// Keys are what a writer needs. Both are secret.
type Keys struct {
	Chain []byte             // HMAC-SHA256 key of the chain, 32 bytes
	Sign  ed25519.PrivateKey // signs checkpoints
}

// Public is the part of the keys that a verifier needs. Chain is still secret: whoever
// holds it can write a chain that hangs together, but can't sign checkpoints.
func (k Keys) Public() Public {
	pub, ok := k.Sign.Public().(ed25519.PublicKey)
	if !ok {
		return Public{Chain: k.Chain}
	}
	return Public{Chain: k.Chain, Sign: pub}
}

// Public are the keys that [Verify] needs.
type Public struct {
	Chain []byte
	Sign  ed25519.PublicKey
}

func (k Keys) check() error {
	if len(k.Sign) != ed25519.PrivateKeySize {
		return fmt.Errorf("checking audit keys: the signing key has %d bytes, want %d", len(k.Sign),
			ed25519.PrivateKeySize)
	}
	return k.Public().check()
}

func (p Public) check() error {
	if len(p.Chain) != macSize {
		return fmt.Errorf("checking audit keys: the chain key has %d bytes, want %d", len(p.Chain), macSize)
	}
	if len(p.Sign) != ed25519.PublicKeySize {
		return fmt.Errorf("checking audit keys: the public key has %d bytes, want %d", len(p.Sign),
			ed25519.PublicKeySize)
	}
	return nil
}

// Options say where and how a log is written.
type Options struct {
	Path           string // the log; made with mode 0600 if it is not there
	Keys           Keys
	CheckpointPath string // default Path + ".checkpoints"

	CheckpointEvery    int           // records between checkpoints; default 1000
	CheckpointInterval time.Duration // and at the latest after this, if there are new records; default 1 minute

	// Sync is how much a power cut may take: fsync runs at most this often. 0 means
	// with each commit, before it is acknowledged. A checkpoint always syncs first.
	Sync time.Duration

	// AcceptDamage lets Open begin a new log where the old one is damaged: the damaged
	// files are set aside under a new name, and a "recovered" record says so.
	AcceptDamage bool

	RotateSize  int64         // end a file once it has this many bytes; 0: not because of its size
	RotateEvery time.Duration // and once its first record is this old; 0: not because of its age

	// KeepAge and KeepSize bound what is kept: files that were ended, whole, and the oldest first, are removed when
	// their last record is older, or when all files together have more bytes. 0: no bound. A file that does not verify
	// is kept.
	KeepAge  time.Duration
	KeepSize int64

	// OnRotate and OnRemove tell of each rotation and retention, done or failed. As OnCheckpoint.
	OnRotate func(Rotation, error)
	OnRemove func(Range, error)

	step func(string) // tests end the process in it

	// OnCheckpoint sees each checkpoint once it is on disk, for a sink outside the host.
	// It runs on the log's own goroutine: it must not call the log, and not block for long.
	OnCheckpoint func(Checkpoint)

	// Broke is told of a panic while writing. The record that it befell is not acknowledged, and Health has the panic
	// until a write succeeds.
	Broke func(*fault.Panic)

	Now func() time.Time // default time.Now

	wrote func() // in tests: called when the kernel has the records, before anybody is told
}

func (o Options) withDefaults() Options {
	if o.CheckpointPath == "" {
		o.CheckpointPath = o.Path + ".checkpoints"
	}
	if o.CheckpointEvery <= 0 {
		o.CheckpointEvery = 1000
	}
	if o.CheckpointInterval <= 0 {
		o.CheckpointInterval = time.Minute
	}
	if o.OnCheckpoint == nil {
		o.OnCheckpoint = func(Checkpoint) {}
	}
	if o.Broke == nil {
		o.Broke = func(*fault.Panic) {}
	}
	if o.wrote == nil {
		o.wrote = func() {}
	}
	if o.OnRotate == nil {
		o.OnRotate = func(Rotation, error) {}
	}
	if o.OnRemove == nil {
		o.OnRemove = func(Range, error) {}
	}
	if o.step == nil {
		o.step = func(string) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Stats is a snapshot of a running log.
type Stats struct {
	Seq        int        // of the newest record in the file
	Records    int        // written by this process
	Bytes      int64      // size of the file
	Pending    int        // records waiting for the next commit
	Suppressed int        // refusals counted but not written since the last refused record
	Summarised int        // refusals that were counted in a summary in place of a record each, by this process
	Lost       int        // completed and refused records dropped because the log could not be written for too long
	Checkpoint Checkpoint // the newest
	Rotation   error      // why the last rotation failed; the log goes on in the same file
	Retention  error      // why old files could not be removed, or must not be
}
