package config

import (
	"reflect"

	"sallyport/internal/config/declare"
	"sallyport/internal/config/finding"
)

// checks are what the check of each service found, for the next load. That hangs on the service, on what a
// configuration has beside services and tokens, and on files that it names; a service with such files is checked each
// time.
type checks struct {
	head   *Config
	before map[*Service]Warnings // found under the same head
	now    map[*Service]Warnings
}

// begin is called before the services of c are checked, when the rest of it is complete. Nothing is broken then.
func (k *checks) begin(c *Config) {
	if k == nil {
		return
	}
	head := headOf(c)
	k.before, k.now = k.now, make(map[*Service]Warnings, len(c.Services))
	if !reflect.DeepEqual(head, k.head) {
		k.head, k.before = head, nil
	}
}

// take adds to rep what is found of a service. check looks for it, and tells whether it has looked into files.
func (k *checks) take(s *Service, rep *finding.Report, check func(*finding.Report) (reads bool)) {
	if k == nil {
		check(rep)
		return
	}
	own := &finding.Report{}
	warns, known := k.before[s]
	reads := false
	if own.Warns = warns; !known {
		reads = check(own)
	}
	rep.Add(own)
	if len(own.Errs) == 0 && !reads {
		k.now[s] = own.Warns
	}
}

// headOf is what a configuration has beside services and tokens.
func headOf(c *Config) *Config {
	head := &Config{}
	from, to := reflect.ValueOf(c).Elem(), reflect.ValueOf(head).Elem()
	fields, _ := declare.Keys(from.Type())
	for i := range fields {
		if name := fields[i].Name; name != "services" && name != "tokens" {
			to.FieldByIndex(fields[i].Index).Set(from.FieldByIndex(fields[i].Index))
		}
	}
	return head
}
