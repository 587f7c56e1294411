package monitor

import (
	"slices"

	"sallyport/internal/fault"
)

// The labels, each with what bounds it.
//
//nolint:gochecknoglobals // declarations, never written to
var (
	labelCalled = Label{
		Name:   "service",
		Values: "a name under `services`; empty for requests that named none of them",
		Count:  func(s Size) int { return s.Services + 1 },
	}
	labelService = Label{
		Name: "service", Values: "a name under `services`", Count: func(s Size) int { return s.Services },
	}
	labelDerived = Label{
		Name: "service",
		Values: "a name under `services` whose token is minted; `NAME/N` is its Nth credential, where it has " +
			"several",
		Count: func(s Size) int { return s.Derived },
	}
	labelOutcome = Label{
		Name: "outcome", Values: "`ok`, or a code of [errors.md](errors.md)",
		Closed: append([]string{okOutcome}, codes()...), Count: func(Size) int { return len(codes()) + 1 },
	}
	labelCode = closed("code", codes()...).saying("a code of [errors.md](errors.md)")
	// labelBlame follows from the outcome: it makes no more series.
	labelBlame     = followed("blame", "none", "caller", "credential", "upstream", "sallyport")
	labelDirection = closed("direction", "request", "response")
	labelWhy       = closed("why", "expired", "challenge")
	labelListener  = closed("listener", "gateway", "admin", "control")
	labelKind      = closed("kind", "panic", "tls", "accept", "refused", "write", "other")
	labelLimit     = closed("limit", "source", "total", "refused", "admin_total", "admin_refused")
	labelTable     = closed("table", "tokens", "secrets", "rotation", "rotation_run", "rotation_approval")
	labelToken     = Label{
		Name: "token", Values: "the label of a proxy token: a name under `tokens`, or of `token issue`",
		Count: func(s Size) int { return s.Tokens },
	}
	labelGeneration = Label{
		Name: "generation", Values: "its number; the series goes when the generation is no longer accepted",
		Count: func(s Size) int { return s.Generations },
	}
	labelStore = Label{
		Name: "store", Values: "a name under `stores`, and `builtin`", Count: func(s Size) int { return s.Stores },
	}
	labelRotation = Label{
		Name: "rotation", Values: "a name under `rotations`, or one of before with a run that is unfinished",
		Count: func(s Size) int { return s.Rotations },
	}
	labelSpans = closed("result", "exported", "dropped", "failed")
	labelSink  = Label{
		Name: "sink", Values: "a name under `audit.sinks`", Count: func(s Size) int { return s.Sinks },
	}
	labelState = closed("state", "running", "waiting", "stuck", "done", "rolled back", "aborted", "approval",
		"not yet run")
	labelResult   = closed("result", "done", "rolled back", "aborted")
	labelVerdict  = closed("verdict", "works", "refused", "unexpected", "limited", "down", "no key", "not made")
	labelDelivery = closed("delivery", "delivered", "dropped")
	labelPart     = Label{
		Name: "part",
		Values: "what `/readyz` names: `database`, `audit`, `store`, `draining`, `audit rotation`, " +
			"`audit retention`, `audit sink NAME`, `store NAME`, `token of SERVICE`, `rows of TABLE`",
		Count: func(s Size) int { return 6 + s.Sinks + s.Stores + s.Derived + len(labelTable.Closed) },
	}
	labelNode = Label{
		Name: "node", Values: "a node of n8n: as it is named to `sallyport watch`, or a container or a pod that it " +
			"finds; 1,000 at most, and `(others)`",
		Count: func(s Size) int { return s.Nodes },
	}
	labelProblem = closed("problem", "credential_undecryptable", "credential_missing", "key_mismatch", "key_missing",
		"webhook_failed", "error")
	labelForm    = closed("form", "json", "text", "cut")
	labelEnd     = closed("result", "success", "failed")
	labelVersion = Label{
		Name: "version", Values: "the version of the program", Count: func(Size) int { return 1 },
	}
)

// closed is a label with values that are the program's own.
func closed(name string, values ...string) Label {
	return Label{Name: name, Closed: values, Count: func(Size) int { return len(values) }}
}

// followed is a closed label that another one of the same metric decides.
func followed(name string, values ...string) Label {
	return Label{Name: name, Closed: values, Count: func(Size) int { return 1 }}
}

// saying describes the values in place of listing them.
func (l Label) saying(values string) Label {
	l.Values = values
	return l
}

func codes() []string {
	list := []string{}
	for _, row := range fault.Table() {
		list = append(list, string(row.Code))
	}
	return slices.Clip(list)
}
