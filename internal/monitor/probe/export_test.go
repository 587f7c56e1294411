package probe

import (
	"net/http"
	"time"

	"sallyport/internal/config"
)

// Judged is judged.
func Judged(p *config.Probe, resp *http.Response, err error, now time.Time) Result {
	return judged(p, resp, err, now)
}

// Moment is moment.
func Moment(text string) time.Time { return moment(text) }

// Wait is wait.
func Wait(r *Result, every time.Duration, chance float64) time.Duration {
	return wait(r, every, chance)
}

// Limits of what goes on at one time.
const (
	AtOnce   = atOnce
	PerLook  = perLook
	ClaimFor = claimFor
)
