package config

import (
	"net/netip"
	"time"

	"sallyport/internal/driver"
	"sallyport/internal/schedule"
	"sallyport/internal/secret"
)

// Rotation is a secret that is rotated, and how. The run itself is package rotation/run.
type Rotation struct {
	Secret        secret.Ref     `yaml:"secret" needed:"write secret: ref+STORE://PATH" eg:"ref+vault://prod/stripe#key" doc:"The secret that gets another value. Its store must be one that can be written to."`
	Driver        Driver         `yaml:"driver" needed:"write driver: {kind: NAME}" doc:"What issues the new value and ends the old one."`
	Test          *Proof         `yaml:"test" doc:"The call that proves a new value before it is current: each replica makes it with the new value in the secret's place. Absent: the driver's own test is all."`
	Schedule      *Schedule      `yaml:"schedule" doc:"When the secret is rotated. Absent: only by command."`
	Grace         time.Duration  `yaml:"grace" default:"24h" min:"1m" max:"365d" doc:"The old value is ended when nobody has used it for this long, and not before."`
	Restart       []string       `yaml:"restart" eg:"[production]" doc:"The fleets whose nodes read the secret only when they start: they are restarted, one unit after another, once the new value is current."`
	Approve       int            `yaml:"approve" default:"0" min:"0" max:"10" doc:"How many other people have to approve a plan before it is carried out. A run that its schedule begins waits for them too."`
	Notify        []secret.Ref   `yaml:"notify" eg:"[\"ref+vault://ops/chat#url\"]" doc:"Webhooks, by reference: their URLs are secrets. Each gets a message when a run is done, fails, is taken back, or waits for someone."`
	NotifyPrivate []netip.Prefix `yaml:"notify_private" eg:"[10.20.0.5/32]" doc:"Addresses that are not public and to which the webhooks may lead all the same."`
}

// Driver is what issues a rotation's values.
type Driver struct {
	Kind     string          `yaml:"kind" needed:"write kind: NAME" doc:"The kind of driver, which says what other keys there are."`
	Settings driver.Settings `of:"kind"`
}

// Proof is a call through the gate that shows whether a value works.
type Proof struct {
	Service string `yaml:"service" needed:"write service: NAME, one that uses the secret" eg:"stripe" doc:"The service that is called. It must use the secret."`
	Method  string `yaml:"method" eg:"GET" doc:"The method. Default: that of the service's own test, or GET."`
	Path    string `yaml:"path" eg:"/v1/balance" doc:"The path below the base path, with a query if need be. Default: that of the service's own test."`
	Expect  []int  `yaml:"expect" eg:"[200]" min:"100" max:"599" doc:"The statuses that mean it works. Default: those of the service's own test, or 200."`
}

// Schedule says when a rotation begins by itself.
type Schedule struct {
	Every   time.Duration `yaml:"every" eg:"30d" min:"1m" max:"3660d" doc:"So long after the last run."`
	Cron    string        `yaml:"cron" free:"true" eg:"0 3 * * 0" doc:"Instead of every: minute, hour, day of month, month, day of week; or @daily and its like."`
	Zone    string        `yaml:"zone" default:"UTC" free:"true" eg:"Europe/Berlin" doc:"The time zone of cron, windows and freezes."`
	Windows []string      `yaml:"windows" free:"true" eg:"[\"Sat,Sun 00:00-24:00\", \"22:00-04:00\"]" doc:"When a run may begin. Absent: always. One that has begun is not interrupted."`
	Freezes []string      `yaml:"freezes" free:"true" eg:"[2026-12-20..2027-01-03]" doc:"Days on which none begins; the last one is included."`
	Jitter  time.Duration `yaml:"jitter" eg:"1h" min:"1s" max:"31d" doc:"A run begins later by up to this, always by the same for one rotation and run: many rotations do not begin at once."`
}

// Text is the schedule as package schedule reads it. A nil schedule is one of which nothing is ever due.
func (s *Schedule) Text() schedule.Text {
	if s == nil {
		return schedule.Text{}
	}
	return schedule.Text{
		Every: s.Every, Cron: s.Cron, Zone: s.Zone, Window: s.Windows, Freeze: s.Freezes, Jitter: s.Jitter,
	}
}

// SameSecret tells whether two references are about one secret, whatever version they name. A field is a part of the
// whole.
func SameSecret(a, b secret.Ref) bool {
	return a.Store == b.Store && a.Path == b.Path && (a.Field == b.Field || a.Field == "" || b.Field == "")
}
