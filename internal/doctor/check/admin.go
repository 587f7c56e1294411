package check

import (
	"context"
	_ "embed" // the page
	"errors"
	"fmt"
	"net"
	"syscall"

	"sallyport/internal/doctor"
	"sallyport/internal/doctor/site"
	"sallyport/internal/fault"
	"sallyport/internal/wayout"
)

//go:embed admin.md
var adminPage string

func adminReach() doctor.Check {
	return doctor.Check{
		ID: "admin", Title: "n8n does not reach the gate's admin listener", Severity: doctor.High,
		Asks: "From inside n8n's container: does a connection to the admin listener come about? At the gate: on " +
			"which " +
			"address does it listen?",
		Page: adminPage, Look: lookAtAdmin,
	}
}

const shutAdmin = "listen.admin: 127.0.0.1:8472, or let the network keep n8n from its port; Prometheus alone needs it"

func lookAtAdmin(ctx context.Context, on *site.Site) ([]doctor.Seen, error) {
	here, inside := on.Beside()
	if inside && on.Admin != "" {
		bounded, cancel := context.WithTimeout(ctx, dialTime)
		defer cancel()
		conn, err := new(net.Dialer).DialContext(bounded, "tcp", on.Admin)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err == nil:
			return []doctor.Seen{doctor.Bad(here.Name, "it reaches the admin listener at "+on.Admin, shutAdmin)},
				conn.Close()
		case !tried(err):
			return nil, fault.WithHint(fmt.Errorf("no connection to %s was tried: %w", on.Admin, err),
				"--admin-address ADDRESS:PORT")
		}
		status, saw := wayout.Shows(err)
		switch {
		case errors.Is(err, syscall.ECONNREFUSED): // as a gate does whose admin listener is for itself alone
			return []doctor.Seen{doctor.Good(here.Name, "it does not reach "+on.Admin+": refused")}, nil
		case status == wayout.Closed:
			return []doctor.Seen{doctor.Good(here.Name, "it does not reach "+on.Admin+": "+saw)}, nil
		}
		return []doctor.Seen{doctor.Dark(here.Name, "it got no connection to "+on.Admin+": "+saw,
			"is it the address of the gate? one where nobody is looks the same")}, nil
	}
	const from = "in n8n's container: sallyport doctor --only admin --admin-address HOST:8472"
	if inside {
		return nil, errNobody("nothing says where the admin listener is", from)
	}
	c, _, err := on.Config()
	if err != nil {
		return nil, err
	}
	at := "the admin listener at " + c.Listen.Admin
	if loopback(c.Listen.Admin) {
		return []doctor.Seen{doctor.Good(at, "it is for this machine alone, and no n8n runs in this container")}, nil
	}
	return []doctor.Seen{doctor.Dark(at, "other machines reach it; whether n8n does, only n8n's network can tell",
		from)}, nil
}
