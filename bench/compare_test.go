package main

import (
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		all  []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := median(c.all); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.all, got, c.want)
		}
	}
}

func TestRatioPairsTheRounds(t *testing.T) {
	cpu := func(times ...time.Duration) []sample {
		all := make([]sample, len(times))
		for i, d := range times {
			all[i].cpu = d
		}
		return all
	}
	for _, c := range []struct {
		own, others []sample
		want        string
	}{
		{cpu(11, 30, 24), cpu(10, 20, 20), "1.20 (1.10 to 1.50)"},
		{cpu(11), nil, "-"},
		{cpu(11), cpu(0), "-"},
	} {
		if got := ratio(c.own, c.others); got != c.want {
			t.Errorf("ratio(%v, %v) = %q, want %q", c.own, c.others, got, c.want)
		}
	}
}

func TestReadNotes(t *testing.T) {
	for name, c := range map[string]struct {
		text    string
		want    int64
		wantErr string
	}{
		"a result":         {`{"measuring":true}` + "\n" + `{"result":{"requests":7}}`, 7, ""},
		"an error":         {`{"error":"401 Unauthorized"}`, 0, "401 Unauthorized"},
		"an end too early": {`{"measuring":true}`, 0, "without a result"},
		"no note":          {`panic`, 0, "reading the load's notes"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := readNotes(strings.NewReader(c.text), func(note) {})
			if c.wantErr == "" && (err != nil || got.Requests != c.want) {
				t.Errorf("got %d requests, error %v; want %d", got.Requests, err, c.want)
			}
			if c.wantErr != "" && (err == nil || !strings.Contains(err.Error(), c.wantErr)) {
				t.Errorf("got error %v, want one with %q", err, c.wantErr)
			}
		})
	}
}
