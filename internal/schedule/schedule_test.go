package schedule_test

import (
	"fmt"
	"testing"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/schedule"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	if text == "" {
		return time.Time{}
	}
	when, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return when
}

// TestNext: when the next run may begin. 2026-03-01 is a Sunday; Berlin's clocks go forward on 2026-03-29.
func TestNext(t *testing.T) {
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		text            schedule.Text
		last, now, want string
	}{
		"no schedule":         {schedule.Text{}, "2026-03-01T00:00:00Z", "2026-03-09T00:00:00Z", ""},
		"every":               {schedule.Text{Every: 30 * day}, "2026-03-01T10:00:00Z", "2026-03-02T00:00:00Z", "2026-03-31T10:00:00Z"},
		"every, missed":       {schedule.Text{Every: day}, "2026-03-01T10:00:00Z", "2026-03-09T11:00:00Z", "2026-03-09T11:00:00Z"},
		"clock set back":      {schedule.Text{Every: day}, "2027-03-01T10:00:00Z", "2026-03-09T11:00:00Z", "2026-03-10T11:00:00Z"},
		"cron":                {schedule.Text{Cron: "0 3 * * 0", Zone: "Europe/Berlin"}, "2026-03-01T10:00:00Z", "2026-03-02T00:00:00Z", "2026-03-08T02:00:00Z"},
		"cron in summer":      {schedule.Text{Cron: "0 4 1 * *", Zone: "Europe/Berlin"}, "2026-03-05T10:00:00Z", "2026-03-06T00:00:00Z", "2026-04-01T02:00:00Z"},
		"window, open":        {schedule.Text{Every: day, Window: []string{"22:00-04:00"}}, "2026-03-01T02:00:00Z", "2026-03-02T03:59:00Z", "2026-03-02T03:59:00Z"},
		"window, closed":      {schedule.Text{Every: day, Window: []string{"22:00-04:00"}}, "2026-03-01T02:00:00Z", "2026-03-02T04:00:00Z", "2026-03-02T22:00:00Z"},
		"window of a day":     {schedule.Text{Every: day, Window: []string{"Sat,Sun 00:00-24:00"}}, "2026-03-01T02:00:00Z", "2026-03-02T02:00:00Z", "2026-03-07T00:00:00Z"},
		"window over Sunday":  {schedule.Text{Every: day, Window: []string{"Sat 22:00-06:00"}}, "2026-02-27T02:00:00Z", "2026-03-01T05:00:00Z", "2026-03-01T05:00:00Z"},
		"days around Sunday":  {schedule.Text{Every: day, Window: []string{"Sat-Mon 10:00-11:00"}}, "2026-03-01T10:30:00Z", "2026-03-02T12:00:00Z", "2026-03-07T10:00:00Z"},
		"window, clocks":      {schedule.Text{Every: time.Hour, Zone: "Europe/Berlin", Window: []string{"03:00-04:00"}}, "2026-03-28T00:00:00Z", "2026-03-28T20:00:00Z", "2026-03-29T01:00:00Z"},
		"freeze":              {schedule.Text{Every: day, Freeze: []string{"2026-12-20..2027-01-03"}}, "2026-12-19T10:00:00Z", "2026-12-20T10:00:00Z", "2027-01-04T00:00:00Z"},
		"freeze and window":   {schedule.Text{Every: day, Freeze: []string{"2026-03-07..2026-03-08", "2026-03-14"}, Window: []string{"Sat 10:00-12:00"}}, "2026-03-01T10:00:00Z", "2026-03-02T10:00:00Z", "2026-03-21T10:00:00Z"},
		"freeze of one day":   {schedule.Text{Every: day, Freeze: []string{"2026-03-02"}}, "2026-03-01T10:00:00Z", "2026-03-02T10:00:00Z", "2026-03-03T00:00:00Z"},
		"due before a freeze": {schedule.Text{Every: day, Freeze: []string{"2026-03-03"}}, "2026-03-01T10:00:00Z", "2026-03-02T10:00:00Z", "2026-03-02T10:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := schedule.Parse(c.text)
			if err != nil {
				t.Fatal(err)
			}
			if got := s.Next("crm", at(t, c.last), at(t, c.now)); !got.Equal(at(t, c.want)) {
				t.Errorf("got %s, want %s", got.UTC().Format(time.RFC3339), c.want)
			}
		})
	}
}

// TestJitter: rotations with one interval begin apart from each other, each at the same time whoever asks.
func TestJitter(t *testing.T) {
	s, err := schedule.Parse(schedule.Text{Every: 24 * time.Hour, Jitter: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	last := at(t, "2026-03-01T00:00:00Z")
	quarters := map[int]int{}
	for i := range 400 {
		name := fmt.Sprintf("secret-%d", i)
		next := s.Next(name, last, last)
		later := next.Sub(last.Add(24 * time.Hour))
		if later < 0 || later >= time.Hour || !s.Next(name, last, last.Add(time.Minute)).Equal(next) {
			t.Fatalf("%s is due %s after the interval, or another time when asked again", name, later)
		}
		quarters[int(later/(15*time.Minute))]++
	}
	for quarter := range 4 {
		if quarters[quarter] < 60 {
			t.Errorf("of 400 rotations begin by quarter of the hour: %v", quarters)
		}
	}
}

// TestRefused: what cannot be read has an error with the text, and a hint.
func TestRefused(t *testing.T) {
	for _, text := range []schedule.Text{
		{Cron: "0 3 * *"},
		{Cron: "TZ=UTC 0 3 * * *"},
		{Zone: "Mars/Base"},
		{Zone: "Local"},
		{Every: time.Hour, Cron: "@daily"},
		{Window: []string{"22-04"}},
		{Window: []string{"Noday 22:00-23:00"}},
		{Window: []string{"10:00-10:00"}},
		{Window: []string{"24:00-10:00"}},
		{Window: []string{"1:00-2:00"}},
		{Window: []string{""}},
		{Freeze: []string{"Christmas"}},
		{Freeze: []string{"2026-03-02..2026-03-01"}},
	} {
		if _, err := schedule.Parse(text); err == nil || fault.HintOf(err) == "" {
			t.Errorf("%+v: got %v", text, err)
		}
	}
}

// FuzzWindow: whatever is read as a window is open at some time of a week, and the time that Next gives is in it for
// good.
func FuzzWindow(f *testing.F) {
	for _, text := range []string{"22:00-04:00", "Sat,Sun 00:00-24:00", "Mon-Fri 20:00-23:30", "Sun 23:59-00:00"} {
		f.Add(text, int64(1_772_323_200))
	}
	f.Fuzz(func(t *testing.T, text string, unix int64) {
		s, err := schedule.Parse(schedule.Text{Every: time.Hour, Window: []string{text}})
		if err != nil {
			return
		}
		now := time.Unix(unix%(1<<32), 0)
		next := s.Next("x", now.Add(-2*time.Hour), now)
		if next.Before(now) || next.Sub(now) > 8*24*time.Hour || !s.Next("x", now.Add(-2*time.Hour), next).Equal(next) {
			t.Errorf("%q: after %s comes %s", text, now.UTC(), next.UTC())
		}
	})
}
