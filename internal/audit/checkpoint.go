package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Checkpoint is a signed statement: after record Seq the log had Offset bytes, in all its files, and its
// chain stood at MAC. It holds no secret, and proves the more the further from the host it
// is kept.
type Checkpoint struct {
	Number    int       `json:"checkpoint"` // 1, 2, 3 … over the log's whole life
	Log       string    `json:"log"`        // id of the log, from its first record
	Seq       int       `json:"seq"`        // also the count of records so far
	Offset    int64     `json:"offset"`
	MAC       string    `json:"mac"`
	Time      time.Time `json:"time"`
	Key       string    `json:"key"`       // see KeyID
	Signature string    `json:"signature"` // Ed25519 over the text that SignedText returns, base64url
}

// SignedText is the fixed form that the signature covers; with it and the public key
// anybody can check a checkpoint by hand.
func (c Checkpoint) SignedText() []byte {
	return fmt.Appendf(nil,
		"sallyport audit checkpoint v1\nnumber %d\nlog %s\nseq %d\noffset %d\nmac %s\ntime %s\nkey %s\n",
		c.Number, c.Log, c.Seq, c.Offset, c.MAC, c.Time.UTC().Format(time.RFC3339Nano), c.Key)
}

// KeyID names a public key: the first 8 bytes of its SHA-256, in hex.
func KeyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:8])
}

func (c Checkpoint) sign(key ed25519.PrivateKey) Checkpoint {
	c.Signature = macEncoding.EncodeToString(ed25519.Sign(key, c.SignedText()))
	return c
}

// line is the checkpoint as it stands in its file.
func (c Checkpoint) line() ([]byte, error) {
	b, err := json.Marshal(c)
	return append(b, '\n'), err
}

// parseCheckpoint reads one line with its newline and checks the signature. Only the
// writer's own spelling is accepted, byte for byte: encoding/json alone would let changed
// case, spaces and doubled keys pass.
func parseCheckpoint(line []byte, key ed25519.PublicKey) (Checkpoint, error) {
	var c Checkpoint
	if err := json.Unmarshal(line, &c); err != nil {
		return c, fmt.Errorf("not a checkpoint: %w", err)
	}
	if own, err := c.line(); err != nil || !bytes.Equal(own, line) {
		return c, errors.New("not spelled as a checkpoint is written")
	}
	if id := KeyID(key); c.Key != id {
		return c, fmt.Errorf("signed by key %s, but the key given is %s", c.Key, id)
	}
	signature, err := macEncoding.DecodeString(c.Signature)
	if err != nil || macEncoding.EncodeToString(signature) != c.Signature {
		return c, errors.New("the signature is malformed")
	}
	if !ed25519.Verify(key, c.SignedText(), signature) {
		return c, errors.New("the signature does not match")
	}
	return c, nil
}

// position is where the chain stood.
func (c Checkpoint) position() (position, bool) {
	p := position{seq: c.Seq, offset: c.Offset}
	mac, err := macEncoding.DecodeString(c.MAC)
	return p, err == nil && copy(p.mac[:], mac) == macSize
}

// readCheckpoints reads a checkpoint file whole: about 300 bytes per thousand records. It
// stops at the first problem; the error is about reading.
func readCheckpoints(r io.Reader, key ed25519.PublicKey) ([]Checkpoint, *Problem, error) {
	in := newLines(r)
	var all []Checkpoint
	for n := 1; ; n++ {
		begin := in.offset
		line, err := in.next()
		if errors.Is(err, io.EOF) {
			return all, nil, nil
		}
		c, reason := Checkpoint{}, framing(err)
		switch {
		case reason != "":
		case err != nil:
			return nil, nil, fmt.Errorf("reading checkpoints: %w", err)
		default:
			c, reason = nextCheckpoint(all, line, key)
		}
		if reason != "" {
			return all, &Problem{In: InCheckpoints, Line: n, Seq: c.Seq, Offset: begin, Reason: reason}, nil
		}
		all = append(all, c)
	}
}

// nextCheckpoint reads the line behind those read so far, or says what is wrong with it.
func nextCheckpoint(all []Checkpoint, line []byte, key ed25519.PublicKey) (Checkpoint, string) {
	c, err := parseCheckpoint(line, key)
	if err == nil {
		err = follows(all, c)
	}
	if err != nil {
		return c, err.Error()
	}
	return c, ""
}

// follows checks that c is the next checkpoint of the same log.
func follows(all []Checkpoint, c Checkpoint) error {
	if c.Number != len(all)+1 {
		return fmt.Errorf("checkpoint %d where %d was expected", c.Number, len(all)+1)
	}
	if len(all) == 0 {
		return nil
	}
	last := all[len(all)-1]
	if c.Log != last.Log {
		return fmt.Errorf("checkpoint of log %q among those of %q", c.Log, last.Log)
	}
	if c.Seq <= last.Seq || c.Offset <= last.Offset {
		return fmt.Errorf("checkpoint %d does not come after checkpoint %d", c.Number, last.Number)
	}
	return nil
}
