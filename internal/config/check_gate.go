package config

import (
	"net"
	"strings"

	"sallyport/internal/config/notation"
	"sallyport/internal/config/wording"
)

func (k *checker) listen() {
	l := k.cfg.Listen
	gateway := k.address("listen.gateway", l.Gateway)
	admin := k.address("listen.admin", l.Admin)
	if gateway && admin && sameAddress(l.Gateway, l.Admin) {
		k.fail("listen.admin", "is the gateway's address too", "give each listener its own port")
	}
}

// address checks host:port, and that it is not open plain HTTP by accident.
func (k *checker) address(key, address string) bool {
	host, port, err := net.SplitHostPort(address)
	if err != nil || !notation.IsPort(port, 0) || (host != "" && !notation.IsHost(host)) {
		k.fail(key, "is not an address", "write HOST:PORT, such as 127.0.0.1:8470, [::1]:8470 or 0.0.0.0:8470")
		return false
	}
	if isLoopback(host) || k.cfg.TLS.Enabled() {
		return true
	}
	if k.cfg.Insecure {
		k.warn(key, "serves plain HTTP beyond loopback: tokens and responses can be read on the way", "set tls")
		return true
	}
	k.fail(key, "is beyond loopback and there is no TLS",
		"set tls, or insecure: true where the network itself is trusted")
	return true
}

func (k *checker) seal() {
	if env := k.cfg.Seal.KeyEnv; env != "" {
		if k.cfg.has("seal.key_file") {
			k.fail("seal.key_env", "stands beside seal.key_file", "keep one")
		}
		if strings.ContainsAny(env, "= ") || wording.MayBeSecret(env) {
			k.fail("seal.key_env", "is not the name of an environment variable",
				"write the variable's name, such as SALLYPORT_SEAL_KEY; never the key itself")
		}
	}
}

func (k *checker) tls() {
	t := k.cfg.TLS
	switch {
	case t.CA != "" && (t.CertFile != "" || t.KeyFile != ""):
		k.fail("tls", "has both a certificate and ca: builtin", "keep cert_file and key_file, or ca and hosts")
	case t.CA != "" && len(t.Hosts) == 0:
		k.missing("tls", "has ca: builtin but no hosts", "name the hosts that n8n uses, such as hosts: [gate.internal]")
	case t.CA == "" && len(t.Hosts) > 0:
		k.missing("tls", "has hosts, which only ca: builtin uses", "add ca: builtin, or leave hosts out")
	case (t.CertFile == "") != (t.KeyFile == ""):
		k.missing("tls", "needs cert_file and key_file together", "")
	case t.CertFile != "":
		k.pair("tls", t.CertFile, t.KeyFile)
	}
	for _, host := range t.Hosts {
		if !notation.IsHost(host) {
			k.fail("tls.hosts", "has a name that is not a host: "+wording.Show(host),
				"write host names or addresses, without port")
		}
	}
}

func (k *checker) database() {
	d := k.cfg.Database
	if k.cfg.DatabaseFile != "" {
		if d != "" {
			k.fail("database_file", "stands beside database", "keep one")
		}
		if content, ok := k.file("database_file", k.cfg.DatabaseFile); ok &&
			databaseProblem(strings.TrimSpace(string(content)), true) != "" {
			k.fail("database_file", "does not hold a PostgreSQL URL", fileHint(k.cfg.DatabaseFile))
		}
	}
	if problem := databaseProblem(d, false); d != "" && problem != "" {
		k.fail("database", problem,
			"write postgres://USER@HOST/NAME; a URL with a password goes into a file that database_file names")
	}
}
