// Package plan says what a run of a rotation would do, as data, before it does anything.
//
// A plan has two halves. Does is all that decides what the run does, and its hash is what people approve of. Now is
// what happens to be the case meanwhile: who has used the secret lately, which replicas there are. It is shown beside,
// and does not change the hash.
//
// It contacts nobody and reads nothing: internal/app collects what is in a plan. It has no value of a secret.
//
// Invariant: two plans with one hash do the same.
package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/driver"
)

// Plan is what a run would do.
type Plan struct {
	Hash string `json:"hash"` // of Does
	Does Does   `json:"does"`
	Now  Now    `json:"now"`
}

// New is the plan of a run. What has no order of its own is sorted, so that one configuration has one hash.
func New(does Does, now Now) *Plan {
	does.Services = slices.Clone(does.Services)
	slices.SortFunc(does.Services, func(a, b Service) int { return strings.Compare(a.Name, b.Name) })
	now.Replicas = slices.Sorted(slices.Values(now.Replicas))
	return &Plan{Hash: does.Hash(), Does: does, Now: now}
}

// Does is what decides what a run does. Each field counts for the hash.
type Does struct {
	Rotation string        `json:"rotation"`
	Secret   Secret        `json:"secret"`
	Driver   Driver        `json:"driver"`
	OldKey   string        `json:"old_key,omitempty"` // at the provider; "": it is not known, or there is none
	Services []Service     `json:"services,omitempty"`
	Restart  []Restart     `json:"restart,omitempty"` // in this order
	Grace    time.Duration `json:"grace,omitempty"`   // nobody may have used the old version for so long
	Approve  int           `json:"approve,omitempty"` // how many people have to approve of it
}

// Secret is what is replaced.
type Secret struct {
	Ref     string `json:"ref"`
	Store   string `json:"store"`
	Kind    string `json:"kind"`              // of the store
	Version string `json:"version,omitempty"` // that is current; "": there is none yet
	// digest of the store's settings (Digest)
	Settings string `json:"settings,omitempty"`
}

// Driver is what makes and ends the keys.
type Driver struct {
	Kind     string              `json:"kind"`
	Can      driver.Capabilities `json:"can"`
	Settings string              `json:"settings,omitempty"` // digest of the driver's settings (Digest)
	Files    []driver.File       `json:"files,omitempty"`    // what it does beside: scripts, definitions
}

// Service is one that uses the secret, and how a new value is tested with it.
type Service struct {
	Name string `json:"name"`
	Test string `json:"test,omitempty"` // the test call, as the configuration has it; "": none
	// digest of the service's settings (Digest): they say where the secret goes
	Settings string `json:"settings,omitempty"`
}

// Restart is a fleet that is restarted.
type Restart struct {
	Fleet    string   `json:"fleet"`
	Units    []string `json:"units,omitempty"`    // as the configuration names them; empty: all
	Settings string   `json:"settings,omitempty"` // digest of the fleet's settings (Digest)
}

// Now is what is the case when the plan is made. It decides how long a run takes, and not what it does.
type Now struct {
	Replicas  []string     `json:"replicas,omitempty"`  // of the gate, which test the new value and confirm it
	Consumers []Consumer   `json:"consumers,omitempty"` // of the current version, the latest first
	Keys      []driver.Key `json:"keys,omitempty"`      // that the provider has
	Run       string       `json:"run,omitempty"`       // unfinished: it would go on, and no other begin
	Step      string       `json:"step,omitempty"`      // at which that one stands
	Approved  []string     `json:"approved,omitempty"`  // who has approved of this plan
	Notes     []string     `json:"notes,omitempty"`     // what could not be found out, and why
}

// Consumer is one that has used the current version.
type Consumer struct {
	By    string    `json:"by"`
	Count int64     `json:"count"`
	Last  time.Time `json:"last"`
}

// OldKey is the key that a run will replace, as the run itself finds it: the one on record for the current version
// (known, of run.KeyOf), or the only one that the provider has.
func OldKey(known string, keys []driver.Key, version string) string {
	if known == "" && len(keys) == 1 && version != "" {
		return keys[0].ID
	}
	return known
}

// HashLen is the length of a hash, in bytes of its text.
const HashLen = sha256.Size * 2

// Hash is the SHA-256 of Text, in hexadecimal.
func (d *Does) Hash() string { return sum("sallyport plan 1\n" + d.Text()) }

// Digest stands for settings that decide what a run does: the same text has the same digest, in every process. It is
// made of the configuration, which has no secret in it.
func Digest(text string) string { return sum("sallyport settings 1\n" + text) }

func sum(text string) string {
	h := sha256.Sum256([]byte(text))
	return hex.EncodeToString(h[:])
}

// Text is the canonical form of d: a line for each field that is not zero, with its path and its value. Two different
// ones differ, since paths are unique and values are quoted.
func (d *Does) Text() string {
	var b strings.Builder
	write(&b, "", reflect.ValueOf(*d))
	return b.String()
}

func write(b *strings.Builder, path string, v reflect.Value) {
	switch {
	case v.IsZero():
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			write(b, strings.TrimPrefix(path+"."+v.Type().Field(i).Name, "."), v.Field(i))
		}
	case v.Kind() == reflect.Slice:
		_, _ = fmt.Fprintf(b, "%s = %d of them\n", path, v.Len()) // so that an empty one at the end counts
		for i := range v.Len() {
			write(b, path+"["+strconv.Itoa(i)+"]", v.Index(i))
		}
	case v.Kind() == reflect.String:
		_, _ = fmt.Fprintf(b, "%s = %s\n", path, strconv.QuoteToASCII(v.String()))
	default:
		_, _ = fmt.Fprintf(b, "%s = %v\n", path, v)
	}
}

// Differences are the lines that two canonical forms do not have in common, for who has approved of one and is shown
// the other.
func Differences(before, after string) []string {
	old, fresh := strings.Split(before, "\n"), strings.Split(after, "\n")
	var list []string
	for _, line := range old {
		if line != "" && !slices.Contains(fresh, line) {
			list = append(list, "was: "+line)
		}
	}
	for _, line := range fresh {
		if line != "" && !slices.Contains(old, line) {
			list = append(list, "is:  "+line)
		}
	}
	return list
}
