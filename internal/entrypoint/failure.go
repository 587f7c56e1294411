package entrypoint

import (
	"errors"
	"fmt"
	"strings"

	"sallyport/internal/fault"
	"sallyport/internal/n8n/environment"
	"sallyport/internal/secret"
)

// VariableError is why one variable cannot be handed over. Err's hint says what to do about it.
type VariableError struct {
	Name string
	Ref  secret.Ref // zero: it is not a reference
	Err  error
}

// Error names the variable, the reference, the store and the cause.
func (f *VariableError) Error() string {
	if f.Ref.IsZero() {
		return fmt.Sprintf("%s: %v", f.Name, f.Err)
	}
	return fmt.Sprintf("%s: resolving %s from store %q: %v", f.Name, f.Ref, f.Ref.Store, f.Err)
}

// Unwrap returns the cause.
func (f *VariableError) Unwrap() error { return f.Err }

// VariableErrors are all that is wrong with an environment, in its order.
type VariableErrors []*VariableError

// Error has a line for each; with what to do behind it when there are several.
func (list VariableErrors) Error() string {
	lines := make([]string, len(list))
	for i, f := range list {
		lines[i] = oneLine(f.Error())
		if hint := fault.HintOf(f.Err); hint != "" && len(list) > 1 {
			lines[i] += "; " + hint
		}
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns each.
func (list VariableErrors) Unwrap() []error {
	errs := make([]error, len(list))
	for i, f := range list {
		errs[i] = f
	}
	return errs
}

// Hint is what to do about the only one, or about all of them.
func (list VariableErrors) Hint() string {
	if len(list) == 1 {
		return fault.HintOf(list[0].Err)
	}
	return "the program is started when all of them can be obtained; `--only` and `--prefix` narrow what is looked at"
}

// orNil is the error that list is. The exit code is the store's before the key's before any other.
func (list VariableErrors) orNil() error {
	if len(list) == 0 {
		return nil
	}
	exit := fault.ExitError
	for _, f := range list {
		switch code := fault.ExitOf(f.Err); {
		case errors.Is(f.Err, secret.ErrUnavailable) || code == fault.ExitStore:
			return fault.WithExit(list, fault.ExitStore)
		case code == fault.ExitKeyMismatch:
			exit = code
		}
	}
	return fault.WithExit(list, exit)
}

// oneLine keeps an error of a store, which may have several lines, on one.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// keyFailure is a failure about n8n's master key.
func keyFailure(problem, hint string) *VariableError {
	return &VariableError{Name: environment.KeyName, Err: fault.WithHint(errors.New(problem), hint)}
}
