package notation

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// Rate is a number of requests in a time. The zero Rate is no limit.
type Rate struct {
	Count int
	Per   time.Duration // a second, a minute or an hour
}

const maxRate = 10_000_000

var errRate = errors.New("want a rate: N/s, N/m or N/h, such as 50/s")

// ParseRate reads N/s, N/m or N/h with N at least 1.
func ParseRate(s string) (Rate, error) {
	number, unit, _ := strings.Cut(s, "/")
	n, err := strconv.ParseUint(strings.TrimSpace(number), 10, 31)
	if err != nil || n == 0 || n > maxRate {
		return Rate{}, errRate
	}
	rate := Rate{Count: int(n)}
	switch strings.TrimSpace(unit) {
	case "s":
		rate.Per = time.Second
	case "m":
		rate.Per = time.Minute
	case "h":
		rate.Per = time.Hour
	default:
		return Rate{}, errRate
	}
	return rate, nil
}

// IsZero tells whether there is no limit.
func (r Rate) IsZero() bool { return r.Count == 0 }

// PerSecond is the rate as golang.org/x/time/rate counts it.
func (r Rate) PerSecond() float64 {
	if r.Per == 0 {
		return 0
	}
	return float64(r.Count) / r.Per.Seconds()
}

// String writes the rate as ParseRate reads it.
func (r Rate) String() string {
	switch {
	case r.IsZero():
		return ""
	case r.Per >= time.Hour:
		return strconv.Itoa(r.Count) + "/h"
	case r.Per >= time.Minute:
		return strconv.Itoa(r.Count) + "/m"
	}
	return strconv.Itoa(r.Count) + "/s"
}
