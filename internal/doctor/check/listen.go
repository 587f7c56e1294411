package check

import (
	"context"
	"crypto/rand"
	_ "embed" // the page
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"sallyport/internal/doctor"
	"sallyport/internal/doctor/site"
	"sallyport/internal/fault"
	"sallyport/internal/localfile"
)

//go:embed listen.md
var listenPage string

func listen() doctor.Check {
	return doctor.Check{
		ID: "listen", Title: "Replicas hear of a change at once: PostgreSQL's notifications " +
			"arrive", Severity: doctor.Medium,
		Asks: "The gate's PostgreSQL, over two connections: does a NOTIFY on one arrive at a LISTEN on the other?",
		Page: listenPage, Look: lookAtListen,
	}
}

const (
	noticeTime = 5 * time.Second
	usePooled  = "let Sallyport connect to PostgreSQL itself, or by a pool in session mode: a pooler in transaction " +
		"mode " +
		"takes LISTEN away with the transaction's end. Until then replicas hear of changes by asking, each second"
)

func lookAtListen(ctx context.Context, on *site.Site) ([]doctor.Seen, error) {
	c, _, err := on.Config()
	if err != nil {
		return nil, err
	}
	text, err := c.DatabaseURL(func(name string) ([]byte, error) { return localfile.Read(name, localfile.Small) })
	if err != nil {
		return nil, err
	}
	if text == "" {
		return []doctor.Seen{doctor.Good("the database", "is SQLite, of one replica, which needs no "+
			"notifications")}, nil
	}
	conf, err := pgx.ParseConfig(text)
	if err != nil { // its text may quote the password
		return nil, errors.New("opening the database: the postgres:// URL cannot be read")
	}
	conf.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol // which every pooler lets through
	conf.RuntimeParams["application_name"] = "sallyport-doctor"
	at := fmt.Sprintf("PostgreSQL at %s:%d", conf.Host, conf.Port)
	took, err := roundTrip(ctx, conf)
	switch {
	case errors.Is(err, errDeaf):
		return []doctor.Seen{doctor.Bad(at, fmt.Sprintf("a notification did not arrive within %s", noticeTime),
			usePooled)}, nil
	case err != nil:
		return nil, fault.WithHint(fmt.Errorf("asking %s: %w", at, harmless(err, conf.Password)),
			"is it up, and is the URL in database or database_file right?")
	}
	return []doctor.Seen{doctor.Good(at, fmt.Sprintf("a notification arrived after %d ms", took.Milliseconds()))}, nil
}

var errDeaf = errors.New("no notification arrived")

// harmless is an error without the password, should another's text have it.
func harmless(err error, password string) error {
	if password != "" && strings.Contains(err.Error(), password) {
		return errors.New("the connection failed")
	}
	return err
}

// roundTrip sends a notification on one connection, and waits for it on another.
func roundTrip(ctx context.Context, conf *pgx.ConnConfig) (took time.Duration, err error) {
	hears, err := pgx.ConnectConfig(ctx, conf)
	if err != nil {
		return 0, err
	}
	defer hears.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing was written
	tells, err := pgx.ConnectConfig(ctx, conf)
	if err != nil {
		return 0, err
	}
	defer tells.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing was written
	channel := "sallyport_doctor_" + strings.ToLower(rand.Text()[:10])
	if _, err := hears.Exec(ctx, "LISTEN "+channel); err != nil {
		return 0, fmt.Errorf("listening: %w", err)
	}
	began := time.Now()
	if _, err := tells.Exec(ctx, "SELECT pg_notify($1, '')", channel); err != nil {
		return 0, fmt.Errorf("notifying: %w", err)
	}
	bounded, cancel := context.WithTimeout(ctx, noticeTime)
	defer cancel()
	for {
		n, err := hears.WaitForNotification(bounded)
		switch {
		case ctx.Err() == nil && bounded.Err() != nil:
			return 0, errDeaf
		case err != nil:
			return 0, err
		case n.Channel == channel:
			return time.Since(began), nil
		}
	}
}
