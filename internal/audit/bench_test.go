package audit_test

import (
	"context"
	"testing"
	"time"

	"sallyport/internal/audit"
)

func BenchmarkAuthorise(b *testing.B) {
	b.Run("serial", func(b *testing.B) {
		l := open(b, testOptions(b))
		ev := sample("req-0123456789abcdef")
		b.ReportAllocs()
		for b.Loop() {
			if err := l.Authorise(context.Background(), ev); err != nil {
				b.Fatal(err)
			}
		}
		reportSize(b, l)
	})
	b.Run("parallel", func(b *testing.B) {
		l := open(b, testOptions(b))
		b.ReportAllocs()
		b.SetParallelism(250) // times GOMAXPROCS: what 500 connections do
		b.RunParallel(func(pb *testing.PB) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			ev := sample("req-0123456789abcdef")
			for pb.Next() {
				if err := l.Authorise(ctx, ev); err != nil {
					b.Error(err)
				}
			}
		})
		reportSize(b, l)
	})
}

// BenchmarkRequest is what one request costs: a record awaited and one left behind.
func BenchmarkRequest(b *testing.B) {
	l := open(b, testOptions(b))
	before := sample("req-0123456789abcdef")
	after := sample("req-0123456789abcdef")
	after.Status, after.BytesOut, after.Gate, after.Upstream = 200, 1024, 310*time.Microsecond, 42*time.Millisecond
	b.ReportAllocs()
	for b.Loop() {
		if err := l.Authorise(context.Background(), before); err != nil {
			b.Fatal(err)
		}
		l.Complete(after)
	}
	reportSize(b, l)
}

func BenchmarkVerify(b *testing.B) {
	o := testOptions(b)
	l := open(b, o)
	for range 10_000 {
		if err := l.Authorise(context.Background(), sample("req-0123456789abcdef")); err != nil {
			b.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(read(b, o.Path))))
	for b.Loop() {
		mustHold(b, o)
	}
}

func reportSize(b *testing.B, l *audit.Log) {
	s := l.Stats()
	b.ReportMetric(float64(s.Bytes)/float64(s.Seq), "bytes/record")
}
