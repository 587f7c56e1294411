package rekey_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/internal/masterkey"
	"sallyport/internal/masterkey/rekey"
	"sallyport/internal/masterkey/survey"
	"sallyport/internal/n8n/cipher"
	"sallyport/internal/n8n/database"
	"sallyport/internal/secret"
	"sallyport/internal/testkit/recorded"
)

// What `make bench-rekey` sets.
const (
	benchBinary = "SALLYPORT_BENCH_BINARY"
	benchRows   = "BENCH_CREDENTIALS"
)

// BenchmarkRekey fills a recorded database with credentials of 1 KiB and changes its master key with the real binary:
// `make bench-rekey`.
func BenchmarkRekey(b *testing.B) {
	binary := os.Getenv(benchBinary)
	if binary == "" {
		b.Skip("it is run by make bench-rekey")
	}
	n := 100_000
	if text := os.Getenv(benchRows); text != "" {
		n = must(strconv.Atoi(text))(b)
	}
	for _, name := range []string{"2.41.1-sqlite", "2.41.1-postgres"} {
		b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
			s := newSite(b, recorded.Named(b, name))
			s.fill(b, n)
			old := s.master()
			for b.Loop() {
				fresh := masterkey.Generate()
				report, peak := s.command(b, binary, old, fresh)
				old = fresh
				if report.Changed < n {
					b.Fatalf("%d of %d values changed", report.Changed, n)
				}
				values := float64(report.Changed)
				busy := (report.Crypto + report.Storing + report.Sealing).Seconds() / 100
				b.ReportMetric(values/report.Took.Seconds(), "values/s")
				b.ReportMetric(values/report.Crypto.Seconds(), "crypto-values/s")
				b.ReportMetric(report.Crypto.Seconds()/busy, "%crypto")
				b.ReportMetric(report.Storing.Seconds()/busy, "%database")
				b.ReportMetric(report.Sealing.Seconds()/busy, "%backup")
				b.ReportMetric(float64(peak)/1024, "MiB-peak")
			}
		})
	}
}

// fill inserts credentials, a thousand at once.
func (s *site) fill(b *testing.B, n int) {
	b.Helper()
	const batch = 1000
	under := cipher.NewCBC(s.master())
	plain := secret.NewValue([]byte(`{"token":"` + strings.Repeat("0123456789abcdef", 63) + `"}`)) // 1 KiB, nearly
	for from := 0; from < n; from += batch {
		var query strings.Builder
		query.WriteString(s.names("INSERT INTO {credentials_entity} (id, name, type, data) VALUES "))
		for i := from; i < min(n, from+batch); i++ {
			if i > from {
				query.WriteByte(',')
			}
			fmt.Fprintf(&query, "('%016x', 'credential %d', 'httpHeaderAuth', '%s')", uint64(i)*0x9e3779b97f4a7c15, i,
				under.Encrypt(plain))
		}
		if _, err := s.raw.ExecContext(b.Context(), query.String()); err != nil {
			b.Fatal(err)
		}
	}
}

// command runs key rekey, and returns its report and its peak memory in KiB.
func (s *site) command(b *testing.B, binary string, old, fresh secret.Value) (report rekey.Report, peak int) {
	b.Helper()
	dir := b.TempDir()
	args := []string{
		"key", "rekey", "--json", "--even-if-active", "--database", s.options.URL, "--backup",
		filepath.Join(dir, "backup"),
	}
	for flag, key := range map[string]secret.Value{"--old-key-file": old, "--new-key-file": fresh} {
		file := filepath.Join(dir, flag)
		if err := os.WriteFile(file, key.Reveal(), 0o600); err != nil {
			b.Fatal(err)
		}
		args = append(args, flag, file)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(b.Context(), binary, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			peak = max(peak, highWater(cmd.Process.Pid))
		case err := <-done:
			if err != nil {
				b.Fatalf("%v: %s", err, stderr.String())
			}
			if err := json.Unmarshal(stdout.Bytes(), &report); err != nil {
				b.Fatal(err)
			}
			return report, peak
		}
	}
}

// highWater is the peak of a process's resident memory in KiB: VmHWM. Its rusage would have this process's own in it.
func highWater(pid int) int {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	number, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	n, _ := strconv.Atoi(number)
	return n
}

// BenchmarkRun is the same within this process, for profiles.
func BenchmarkRun(b *testing.B) {
	const n = 20_000
	s := newSite(b, recorded.Named(b, "2.41.1-sqlite"))
	s.fill(b, n)
	old := s.master()
	for b.Loop() {
		o := s.fromTo(old, masterkey.Generate())
		report := s.mustRun(o)
		old = o.New
		b.ReportMetric(float64(report.Changed)/report.Crypto.Seconds(), "crypto-values/s")
		b.ReportMetric(float64(report.Changed)/report.Took.Seconds(), "values/s")
	}
}

// BenchmarkCrypto is what a change does to a value of 1 KiB beside the database and the backup, on all processors: it
// is opened, encrypted, opened again, and opened once more when it is read back.
func BenchmarkCrypto(b *testing.B) {
	old, fresh := masterkey.Generate(), masterkey.Generate()
	was, is := must(survey.NewKeyring(nil, old, fresh))(b), must(survey.NewKeyring(nil, fresh))(b)
	under := cipher.NewCBC(fresh)
	plain := secret.NewValue([]byte(`{"token":"` + strings.Repeat("0123456789abcdef", 63) + `"}`))
	stored, right := cipher.NewCBC(old).Encrypt(plain), database.Location{Plain: database.PlainObject}.Right
	var before, after syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			opened, err := was.Open(stored, right)
			again := under.Encrypt(opened.Plain)
			_, errAgain := is.Open(again, func(p []byte) bool { return bytes.Equal(p, plain.Reveal()) })
			_, errBack := is.Open(again, func([]byte) bool { return true })
			if err != nil || errAgain != nil || errBack != nil {
				b.Error(err, errAgain, errBack)
			}
		}
	})
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	cpu := time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "values/s")
	// times the processors that are free is what they would do
	b.ReportMetric(float64(b.N)/cpu.Seconds(), "values/cpu-s")
}
