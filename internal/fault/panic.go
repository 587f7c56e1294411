package fault

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
)

// Panic is a panic that was recovered: a mistake in Sallyport, or in a library it uses. It is an error that ends one
// request.
//
// Neither its text nor its stack quotes what was being worked on: a panic's value may have a secret in it, and so may
// the arguments that runtime.Stack prints. Only what the runtime itself says (an index, a nil pointer) is quoted.
type Panic struct {
	Where string // what was going on: "relaying from the API"
	What  string // the runtime's words, or the type of the value
	Stack string // one line for each function, the innermost first: name and file:line

	told atomic.Bool
}

// Tell reports true to the first who asks: several requests may end by one panic, which is logged and counted once.
func (p *Panic) Tell() bool { return p.told.CompareAndSwap(false, true) }

// Error implements error.
func (p *Panic) Error() string { return "panic while " + p.Where + ": " + p.What }

// Recover turns a panic into an error. Use it as `defer fault.Recover("doing this", &err)`.
func Recover(where string, err *error) {
	if v := recover(); v != nil {
		*err = Panicked(where, v)
	}
}

// Panicked is the Panic for a value that recover() has returned; call it in the deferred function. A Panic that was
// passed on from another goroutine stays what it is.
func Panicked(where string, v any) *Panic {
	if p, ok := v.(*Panic); ok {
		return p
	}
	p := &Panic{Where: where, What: fmt.Sprintf("a value of type %T", v), Stack: stack()}
	if e, ok := v.(runtime.Error); ok {
		p.What = e.Error()
	}
	return p
}

// maxFrames bounds Stack.
const maxFrames = 48

// stack is where the panic began. It leaves the recovering functions out.
func stack() string {
	pcs := make([]uintptr, maxFrames)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	var b strings.Builder
	for {
		f, more := frames.Next()
		if f.Function != "" {
			fmt.Fprintf(&b, "%s %s:%d\n", f.Function, f.File, f.Line)
		}
		if !more {
			return b.String()
		}
	}
}
