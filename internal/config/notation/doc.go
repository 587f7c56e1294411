// Package notation is how single values of a configuration are written: durations, sizes, rates, rules, networks, URLs,
// methods, references, and texts that may be references.
//
// Invariant: no error quotes what was given. It says what is wanted, and the decoder decides whether the value may be
// shown.
package notation
