package app

import (
	"sallyport/internal/audit/sink"
	httpsink "sallyport/internal/audit/sink/http"
	"sallyport/internal/audit/sink/otlp"
	"sallyport/internal/audit/sink/s3"
	"sallyport/internal/audit/sink/syslog"
	"sallyport/internal/boundary/credential/awssigv4"
	"sallyport/internal/boundary/credential/basic"
	"sallyport/internal/boundary/credential/bearer"
	"sallyport/internal/boundary/credential/body"
	"sallyport/internal/boundary/credential/cookie"
	"sallyport/internal/boundary/credential/digest"
	"sallyport/internal/boundary/credential/exchange"
	"sallyport/internal/boundary/credential/githubapp"
	"sallyport/internal/boundary/credential/header"
	"sallyport/internal/boundary/credential/hmac"
	"sallyport/internal/boundary/credential/jwtbearer"
	"sallyport/internal/boundary/credential/none"
	"sallyport/internal/boundary/credential/oauth1"
	"sallyport/internal/boundary/credential/oauth2clientcredentials"
	"sallyport/internal/boundary/credential/oauth2refreshtoken"
	"sallyport/internal/boundary/credential/path"
	"sallyport/internal/boundary/credential/query"
	"sallyport/internal/config"
	"sallyport/internal/driver"
	driverexec "sallyport/internal/driver/exec"
	"sallyport/internal/driver/generate"
	httpdriver "sallyport/internal/driver/http"
	"sallyport/internal/driver/mysql"
	"sallyport/internal/driver/postgres"
	"sallyport/internal/driver/redis"
	"sallyport/internal/fleet"
	"sallyport/internal/fleet/command"
	"sallyport/internal/fleet/compose"
	fleetkubernetes "sallyport/internal/fleet/kubernetes"
	fleetnomad "sallyport/internal/fleet/nomad"
	fleetswarm "sallyport/internal/fleet/swarm"
	"sallyport/internal/fleet/systemd"
	"sallyport/internal/secret"
	"sallyport/internal/secret/awssm"
	"sallyport/internal/secret/azurekv"
	"sallyport/internal/secret/builtin"
	"sallyport/internal/secret/env"
	"sallyport/internal/secret/exec"
	"sallyport/internal/secret/file"
	"sallyport/internal/secret/gcpsm"
	"sallyport/internal/secret/kubernetes"
	"sallyport/internal/secret/swarm"
	"sallyport/internal/secret/vault"
)

// Kinds are the kinds that this program has. A new one is its folder and a line here: configuration, schema, reference
// and commands know it by what it says of itself.
func Kinds() config.Kinds {
	return config.Kinds{
		Stores: stores(), Credentials: credentials(), Fleets: fleets(), Drivers: drivers(), Sinks: sinks(),
	}
}

func stores() []secret.Kind {
	return []secret.Kind{
		builtin.Kind(),
		vault.Kind(),
		awssm.Kind(),
		azurekv.Kind(),
		gcpsm.Kind(),
		kubernetes.Kind(),
		file.Kind(),
		env.Kind(),
		exec.Kind(),
		swarm.Kind(),
	}
}

// credentials are in the order of the reference. Where the kind is not written, the first that takes the keys is
// suggested.
func credentials() []config.CredentialKind {
	return []config.CredentialKind{
		bearer.Kind(),
		header.Kind(),
		basic.Kind(),
		query.Kind(),
		cookie.Kind(),
		path.Kind(),
		body.Kind(),
		none.Kind(),
		oauth2clientcredentials.Kind(),
		jwtbearer.Kind(),
		oauth2refreshtoken.Kind(),
		githubapp.Kind(),
		exchange.Kind(),
		awssigv4.Kind(),
		hmac.Kind(),
		oauth1.Kind(),
		digest.Kind(),
	}
}

func fleets() []fleet.Kind {
	return []fleet.Kind{
		compose.Kind(),
		fleetswarm.Kind(),
		fleetkubernetes.Kind(),
		fleetnomad.Kind(),
		systemd.Kind(),
		command.Kind(),
	}
}

func drivers() []driver.Kind {
	return []driver.Kind{
		generate.Kind(),
		driverexec.Kind(),
		httpdriver.Kind(),
		postgres.Kind(),
		mysql.Kind(),
		redis.Kind(),
	}
}

func sinks() []sink.Kind {
	return []sink.Kind{
		httpsink.Kind(),
		syslog.Kind(),
		otlp.Kind(),
		s3.Kind(),
	}
}
