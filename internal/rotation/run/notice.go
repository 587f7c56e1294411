package run

import "context"

// Notifier is told of what a person should know. It returns at once, and what it cannot deliver is its own concern.
type Notifier interface {
	Notify(ctx context.Context, n Notice)
}

// NoticeKind is what a notice is about.
type NoticeKind string

// The kinds of notices.
const (
	NoticeBegan      NoticeKind = "began"
	NoticeDone       NoticeKind = "done"        // the new version is current, and the old key ended or left
	NoticeFailed     NoticeKind = "failed"      // a step failed, and is tried again; nothing was taken back
	NoticeRolledBack NoticeKind = "rolled back" // the old value stays current
	NoticeAborted    NoticeKind = "aborted"     // the same, because a person wanted it
	NoticeStuck      NoticeKind = "stuck"       // it goes on only when a person has acted
	NoticeWaiting    NoticeKind = "waiting"     // names who still needs the old key
	NoticeLeft       NoticeKind = "left"        // a key was left at the provider, to be deleted by hand
	NoticeApproval   NoticeKind = "approval"    // a run begins when enough people have approved of its plan
)

// Alerts tells whether someone has to act.
func (k NoticeKind) Alerts() bool { return k != NoticeBegan && k != NoticeDone && k != NoticeAborted }

// Notice is one message.
type Notice struct {
	Kind     NoticeKind `json:"kind"`
	Rotation string     `json:"rotation"`
	Run      string     `json:"run,omitempty"` // "": none has begun
	State    State      `json:"state,omitempty"`
	Step     Step       `json:"step,omitempty"`
	Text     string     `json:"text"`
	Hint     string     `json:"hint,omitempty"`
	Alert    bool       `json:"alert"` // someone has to act
}

func (g *Engine) tell(ctx context.Context, e *Entry, kind NoticeKind, text string) {
	if g.Notify != nil {
		g.Notify.Notify(ctx, Notice{
			Kind: kind, Rotation: e.Name, Run: e.ID, State: e.State, Step: e.Step, Text: text, Hint: e.Hint,
			Alert: kind.Alerts(),
		})
	}
}
